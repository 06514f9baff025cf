"""Batches for training: procedural scenes, records of datasets and warped videos."""
