"""Datasets on disk: written in shards, described by a card, read as random access to examples."""
