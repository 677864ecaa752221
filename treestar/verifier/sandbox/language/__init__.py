"""The Python that steps are written in: what they may write, and which names and modules they meet."""
