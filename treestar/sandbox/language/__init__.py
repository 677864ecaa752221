"""The restricted Python of steps: the allowed syntax, names and modules.

It does not handle processes; `treestar.sandbox` runs it in a jail.
"""
