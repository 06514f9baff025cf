"""From a config and data to weights: the step, the loop, checkpoints, records."""
