"""The jail: layers of isolation that the sandbox's processes apply to themselves before they run a step."""
