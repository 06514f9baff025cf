"""Codecs, which map frames to latents and back: pixels and Wan's two VAEs."""
