"""From pictures to Gaussians in time: starts, losses, relocation, distillation, the loop."""
