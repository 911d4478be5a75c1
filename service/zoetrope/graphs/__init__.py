"""Graphs: recipes as people write them, and the API-format graphs that engines run."""
