"""What does a reply answer? Start at `replies.py`."""
