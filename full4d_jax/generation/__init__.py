"""From a source to a grid of views: projection, conditions, sampling."""
