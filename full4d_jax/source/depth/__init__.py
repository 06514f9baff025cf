"""Depth of a source: the shipped network, networks in files, and depth that is given."""
