"""The jail: what the processes of the sandbox give up, layer by layer, before a step runs in them."""
