"""The network, its codecs and weights: the only part that knows flax."""
