"""Starts the rehearsal engine as a process of its own."""

from .serve import main

main()
