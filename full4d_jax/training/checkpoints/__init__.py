"""Checkpoints: saving, verifying, disk space and resuming."""
