"""Starts the simulated engine as a process of its own."""

from .serve import main

main()
