"""The compiled training step without a run: memory, FLOPs and collectives of a TPU slice."""
