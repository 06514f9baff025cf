"""Fits of Gaussians to pictures: initialization, losses, relocation, distillation, the loop."""
