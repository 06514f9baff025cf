"""Scores of grids and scenes, with truth and without, against baselines."""
