"""The GPUs of this machine, and which kernels run on them."""

import jax


def runs_triton() -> bool:
    """Return whether programs for NVIDIA GPUs may hold kernels of Triton: none here is too old."""
    try:
        devices = jax.local_devices(backend="cuda")
    except RuntimeError:  # none is here: the program is for others
        return True
    ampere = 8.0
    return min(float(device.compute_capability) for device in devices) >= ampere
