"""Small networks: depth, segmentation, silhouettes, inpainting and upsampling."""
