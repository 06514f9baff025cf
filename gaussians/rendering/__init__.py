"""From Gaussians and a camera to a picture: projection, lists of tiles, compositing, clips."""
