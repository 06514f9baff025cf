"""Codecs, which map frames to latents and back: pixels, TAESD and Wan's two VAEs."""
