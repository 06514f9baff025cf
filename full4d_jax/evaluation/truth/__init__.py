"""Grids and scenes scored against the real views of their clip."""
