"""Rendered clips with exact depth and cameras: random scenes, and animated glTF assets."""
