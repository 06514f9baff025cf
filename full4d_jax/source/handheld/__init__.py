"""Sources whose camera moves: its path, and depth in the path's unit."""
