"""Where frames and cameras come from: a video, a view of a dataset, a capture, a camera path."""
