"""The multi-view video diffusion transformer of both papers."""
