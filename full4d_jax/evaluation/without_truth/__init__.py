"""Grids and scenes scored on their own: consistency, registration, distances of sets."""
