"""Rendered clips of random scenes, with exact depth and cameras."""
