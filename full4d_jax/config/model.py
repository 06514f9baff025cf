"""The network's part of an experiment, composed of a guide, a parametrisation and an attention.

Each of the three is a dataclass with the fields that its part needs, and names the class that
computes it. A part of your own is a dataclass over `Guide`, `Parametrisation` or `Attention` in
your own file (`examples/own_conditioning.py`), and goes into a preset. Nothing here imports jax, so
that `--help` is quick.
"""

import pkgutil
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from full4d_jax.config.codecs import KINDS, Strides
from full4d_jax.session.fields import Between, Count, CountOrZero, Positive

# Far above any network that is trained; more would take all memory before anything is said.
Channels = Annotated[int, Between(1, 2**17)]
Layers = Annotated[int, Between(1, 1000)]
PAPER_MASK = "time_view"


@dataclass(frozen=True)
class Part:
    """A part of the network.

    Attributes:
      module: the class that computes it, or "module:class" of one.
    """

    module: ClassVar[Any]

    @property
    def implementation(self) -> Any:
        """The class that computes the part."""
        named = isinstance(self.module, str)
        return pkgutil.resolve_name(self.module) if named else self.module


@dataclass(frozen=True)
class Guide(Part):
    """The way by which sources enter the network; `models.dit.guides` has the modules.

    Attributes:
      needs_cameras: whether views are made at known cameras, from a projection; else some frames of
        the grid are real, and no camera is given.
      reads_filled: whether it reads filled projections (`Conditions.base`).
      clean_views: views before the generated ones that are given clean.
      projected_half: whether each view has as many projected frames behind the generated ones.
      first_frame: whether the source's first latent frame is given clean, at flow time 0.
    """

    needs_cameras: ClassVar[bool] = True
    reads_filled: ClassVar[bool] = False
    clean_views: ClassVar[int] = 0
    projected_half: ClassVar[bool] = False
    first_frame: ClassVar[bool] = False


@dataclass(frozen=True)
class ProjectionAsChannels(Guide):
    """Stack the projected video on the noisy latents' channels; the source is a clean view."""

    module = "full4d_jax.models.dit.guides:Channels"
    reads_filled = True
    clean_views = 1


@dataclass(frozen=True)
class ProjectionAsFrames(Guide):
    """Put the projected video behind each view's frames, as Full-4D does."""

    module = "full4d_jax.models.dit.guides:Frames"
    projected_half = True
    first_frame: bool = False
    """Give the source's first latent frame clean at flow time 0 (Wan2.2-TI2V)."""


@dataclass(frozen=True)
class RealFrames(Guide):
    """Give some frames of the grid, without projection or cameras, as 4Real-Video does."""

    module = "full4d_jax.models.dit.guides:Grid"
    needs_cameras = False


@dataclass(frozen=True)
class Parametrisation(Part):
    """The meaning of the network's output; `models.dit.parametrisations` has the modules.

    Attributes:
      reads_filled: whether it starts from filled projections, or the nearest real frame.
      moves_base: whether it moves that frame, by motion in the conditions.
    """

    reads_filled: ClassVar[bool] = False
    moves_base: ClassVar[bool] = False


@dataclass(frozen=True)
class Velocity(Parametrisation):
    """The velocity itself."""

    module = "full4d_jax.models.dit.parametrisations:Velocity"


@dataclass(frozen=True)
class Residual(Parametrisation):
    """A residual of the filled projection or, without projection, of the nearest real frame."""

    module = "full4d_jax.models.dit.parametrisations:Residual"
    reads_filled = True


@dataclass(frozen=True)
class MovedBase(Residual):
    """A residual of the nearest real frame and the first row's, both moved, and mixed.

    The motion is what the row carries over, corrected by a second convolutional head.
    """

    module = "full4d_jax.models.dit.moved_base:MovedBase"
    moves_base = True


@dataclass(frozen=True)
class Attention(Part):
    """The way in which views and times are joined (docs/attention.md).

    Attributes:
      is_whole: whether tokens of the whole grid meet in one attention; else those of its rows and
        columns, each on its own.
      streams: how many times each token is held.
    """

    is_whole: ClassVar[bool] = True
    streams: ClassVar[int] = 1


@dataclass(frozen=True)
class Fused(Attention):
    """One attention over views and times, under a mask between frames."""

    module = "full4d_jax.models.dit.backbone:MultiViewDiT"
    mask: str = PAPER_MASK
    """The mask between frames: time_view, without_cross_half, windowed, neighbours, causal, full,
    or a function of yours, FILE.py:FUNCTION (docs/attention.md)."""


@dataclass(frozen=True)
class Sequential(Attention):
    """One stream through each block twice, along the views and along the times."""

    module = "full4d_jax.models.dit.two_streams:SequentialDiT"
    is_whole = False


@dataclass(frozen=True)
class TwoStreams(Attention):
    """Two streams, one along the views and one along the times (4Real-Video)."""

    module = "full4d_jax.models.dit.two_streams:TwoStreamDiT"
    is_whole = False
    streams = 2
    synchronization: Literal["hard", "soft"] = "soft"
    """The streams agree after each block: hard, as one, or soft, by what they add to each other."""


@dataclass(frozen=True)
class ModelConfig:
    """The multi-view diffusion transformer (Wan's parametrisation) and its codec."""

    codec: Literal["pixels", "wan21", "wan22"] = "pixels"
    """Codec between frames and latents; all but `pixels` need `codec_weights`."""
    codec_stride: Count = 1
    """Pixels per side of a latent pixel: any with `pixels`, 16 with `wan22`, else 8."""
    width: Channels = 192
    """Channels of a token."""
    layers: Layers = 4
    """Transformer blocks."""
    heads: Channels = 3
    """Attention heads; `width / heads` is even."""
    ffn: Channels = 576
    """Hidden channels of the feed-forward network."""
    patch: Count = 8
    """Side of a token in latent pixels."""
    text_width: CountOrZero = 0
    """Width of the text embedding; 0 builds no cross-attention."""
    guide: Guide = ProjectionAsChannels()
    """The way by which sources enter, a part that a preset names."""
    parametrisation: Parametrisation = Residual()
    """The meaning of the output, a part that a preset names."""
    attention: Attention = Fused()
    """The way in which views and times are joined, a part that a preset names."""
    cameras: tuple[Literal["linear", "plucker", "prope"], ...] = ("linear", "plucker")
    """Ways in which tokens learn their camera, any of these (docs/attention.md)."""
    camera_projector: bool = False
    """Add an identity-initialised linear after attention, for pretrained backbones."""
    rope_theta: Positive = 100.0
    """Base of the rotary frequencies."""
    rope_folds_views: bool = False
    """Give view v at time t the rotary position v * frames + t; else t."""
    refiner: Annotated[int, Between(0, 2**17)] = 12
    """Channels of the convolutional head; 0 leaves a linear head."""
    lora_rank: Annotated[int, Between(0, 2**17)] = 0
    """Rank of the adapters for `optimizer.trainable` lora or adapters; 0 builds none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of products on tokens; auto is bfloat16 except on CPU."""
    remat: Literal["none", "block", "attention", "products"] = "none"
    """Save memory: recompute nothing, whole blocks, all but attention, or all but attention and
    products with parameters."""
    gpu_attention: Literal["flash", "cudnn"] = "flash"
    """Kernel that attends within views on GPUs: ours, or cuDNN, which makes attention 1.4 times as
    fast, but whose gradients repeat with a flag only (docs/attention.md)."""

    @property
    def needs_cameras(self) -> bool:
        """Whether it makes views at known cameras, from a projection; else it fills grids."""
        return self.guide.needs_cameras

    @property
    def reads_filled(self) -> bool:
        """Whether it reads filled projections (`Conditions.base`) in more than real frames."""
        return self.guide.reads_filled or self.parametrisation.reads_filled

    @property
    def mask(self) -> str:
        """The name of the mask between frames; other than fused attention has the paper's."""
        return self.attention.mask if isinstance(self.attention, Fused) else PAPER_MASK

    @property
    def strides(self) -> Strides:
        """Strides of the codec; `pixels` folds squares with sides of `codec_stride`."""
        if self.codec in KINDS:
            return KINDS[self.codec].strides
        return Strides(self.codec_stride, 1, 3 * self.codec_stride**2)
