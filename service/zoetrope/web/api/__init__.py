"""The API: one file an area, each with its routes."""
