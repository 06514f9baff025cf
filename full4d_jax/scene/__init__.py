"""From a grid to 4D Gaussians, and how they are shown."""
