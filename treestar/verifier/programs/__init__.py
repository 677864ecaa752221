"""Which program does a reply propose, and does it pass its tests? Start at `proposed.py`."""
