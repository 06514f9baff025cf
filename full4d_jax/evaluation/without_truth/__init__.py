"""Grids and scenes scored on their own: consistency, distances of sets."""
