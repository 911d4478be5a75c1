"""Lets `python -m zoetrope` serve as the command."""

from .cli import main

main()
