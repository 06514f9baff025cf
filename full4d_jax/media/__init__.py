"""Videos, pictures, sheets of grids, and metrics of images."""
