"""The parameters that `OptimizerConfig.trainable` names. This module imports no jax."""

from full4d_jax.models.wan.names import ADDED, SYNCHRONIZATION

ATTENTION = "blocks.attention."


def is_trained(trainable: str, name: str) -> bool:
    """Return whether the parameter with this dotted name may change."""
    if trainable == "all":
        return True
    if trainable == "synchronization":
        return name.startswith((*SYNCHRONIZATION, "context"))
    if trainable == "adapters":
        return ".lora_" in name
    if trainable == "lora":
        return name.startswith(ADDED) or ".lora_" in name
    return name.startswith((*ADDED, ATTENTION))
