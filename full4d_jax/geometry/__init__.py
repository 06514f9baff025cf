"""The geometry of pictures: arrays in, arrays out."""
