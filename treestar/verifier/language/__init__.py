"""The Python that steps are written in: what they may write, and which names and modules they meet.

It knows nothing of processes; `treestar.verifier.sandbox` runs it in a jail.
"""
