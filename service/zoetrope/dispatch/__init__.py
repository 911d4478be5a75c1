"""Dispatch: which waiting job which engine's worker takes next, and why."""
