"""`python -m treestar`: the command, for launchers that start a module, such as `accelerate launch -m treestar`."""

from treestar.cli import main

main()
