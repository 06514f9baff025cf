"""Wan's checkpoints: names of tensors, loading, export and the text encoder."""
