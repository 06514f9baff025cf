"""Checks of a clip: its cameras, clocks, light and pictures."""
