"""Views of a still scene scored against later frames of the clip that it was made from."""
