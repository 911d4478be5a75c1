"""The models: which files recipes need, which are there, and how the others are fetched."""
