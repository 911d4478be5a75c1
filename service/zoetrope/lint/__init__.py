"""The linter: what is known to go wrong with WAN 2.2 graphs, found before a GPU spends an hour on it."""
