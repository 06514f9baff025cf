"""Scene files: 3DGS PLY, packed PLY, splat, and PLY with motion."""
