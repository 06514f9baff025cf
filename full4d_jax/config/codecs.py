"""Sizes of each codec's latents, known without its weights, and the shapes of Wan's two VAEs.

Nothing here imports jax, so that `--help` is quick and a config is checked before anything loads.
"""

from dataclasses import dataclass
from typing import NamedTuple

from full4d_jax.session.errors import InputError


class Strides(NamedTuple):
    """Size of one latent."""

    pixels: int  # per latent pixel, each side
    # Frames per latent frame; above 1 the first frame is a latent frame of its own.
    frames: int
    channels: int

    def latent_frames(self, frames: int) -> int:
        """Return the latent frames of a video of so many frames."""
        return (frames - 1) // self.frames + 1


@dataclass(frozen=True)
class WanVaeConfig:
    """Wan's causal video VAE; the two published ones are `WAN21` and `WAN22`."""

    base: int
    """Channels of the encoder's first stage."""
    decoder_base: int
    """Channels of the decoder's last stage."""
    mean: tuple[float, ...]
    """Mean of each latent channel."""
    std: tuple[float, ...]
    """Deviation of each latent channel."""
    residual: bool = False
    """Give every stage a parameter-free shortcut past its change of resolution."""
    patch: int = 1
    """Side of the square of pixels that is folded into channels first."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of the stages, in units of the base; between two stages the sides halve."""
    blocks: int = 2
    """Residual blocks of an encoder stage; a decoder stage has one more."""
    temporal: tuple[bool, ...] = (False, True, True)
    """After which stages of the encoder the frame rate halves too."""

    @property
    def strides(self) -> Strides:
        """Return pixels, frames and channels of a latent."""
        pixels = self.patch * 2 ** len(self.temporal)
        return Strides(pixels, 2 ** sum(self.temporal), len(self.mean))


WAN21 = WanVaeConfig(
    base=96,
    decoder_base=96,
    mean=(
        *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
        *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
    ),
    std=(
        *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
        *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
    ),
)

WAN22 = WanVaeConfig(
    base=160,
    decoder_base=256,
    mean=(
        *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557),
        *(-0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825),
        *(-0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
        *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230),
        *(-0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748),
        *(0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
    ),
    std=(
        *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013),
        *(0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978),
        *(0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
        *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093),
        *(0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887),
        *(0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
    ),
    residual=True,
    patch=2,
)

KINDS = {"wan21": WAN21, "wan22": WAN22}


def check_video(
    codec: str, strides: Strides, frames: int, height: int, width: int
) -> None:
    """Refuse a video that does not divide into latents.

    Raises:
      InputError: it does not.
    """
    size = f"{height}x{width}"
    if height % strides.pixels or width % strides.pixels:
        expected = f"multiples of {strides.pixels} for the codec {codec}"
        raise InputError("size", "height and width", size, expected, "resize")
    if (frames - 1) % strides.frames:
        expected = f"1 + a multiple of {strides.frames} for the codec {codec}"
        raise InputError("video", "frames", frames, expected, "take more or fewer")
