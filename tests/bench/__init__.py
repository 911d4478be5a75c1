"""Measurements: `make bench` prints a table and writes build/bench.json; nothing here asserts a timing."""
