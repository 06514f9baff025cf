"""Configuration of training: the loss, the optimizer, the loop. Imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.session.fields import Between, Count, CountOrZero, Positive, Share, Streamed, Weight


@dataclass(frozen=True)
class FlowConfig:
    """Rectified flow: flow time tau in [0, 1], 0 = data, 1 = noise."""

    shift: Positive = 1.5
    """sigma in tau' = sigma tau / (1 + (sigma - 1) tau), in training."""
    mean_share: Share = 0.4
    """Share of clips trained at tau = 1 from zero noise: regression of the mean."""
    perceptual: Weight = 0.0
    """Weight of LPIPS (AlexNet) in the regression; above 0 needs the extra `metrics`."""
    moving: Weight = 0.0
    """Additional weight in the regression of what differs from instant 0 of its view."""
    motion: Weight = 0.0
    """Weight of the motion's error with `model.moves_base`, in units of 4 pixels."""
    segments: Annotated[int, Between(0, 64)] = 0
    """Euler steps in which adapters learn to do what the network does in 16 times as many; 0 is
    off."""
    teacher_guidance: Weight = 1.0
    """Text guidance of the many steps, which the few then need not have."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How the parameters follow the gradients, and which of them do."""

    kind: Literal["muon", "adamw"] = "muon"
    """Muon on the blocks' matrices and Nesterov's AdamW elsewhere, or plain AdamW."""
    trainable: Literal["all", "attention", "lora", "adapters", "synchronization"] = "all"
    """Parameters that change: all; self-attention, or adapters (`model.lora_rank`), with what a
    video model lacks (cameras, projectors, mask); adapters alone (`flow.segments`); or the
    synchronization of two streams and their context embeddings."""
    learning_rate: Positive = 0.015
    """Highest learning rate of Muon."""
    adam_learning_rate: Positive = 0.0015
    """Highest learning rate of AdamW."""
    warmup: CountOrZero = 100
    """Steps of linear warm-up."""
    decay_share: Share = 0.3
    """Last share of the steps, where the rate falls linearly to zero."""
    adam_weight_decay: Weight = 0.01
    """AdamW's weight decay, per step and unit of the learning rate; Muon's is .01."""
    clip: Positive = 1.0
    """Largest global norm of the gradient."""
    ema: Share = 0.999
    """Decay of the averaged parameters, warmed up as (1 + step) / (10 + step)."""


@dataclass(frozen=True)
class TrainingConfig:
    """Length and bookkeeping of a training run."""

    batch: Count = 8
    """Clips in a step."""
    accumulate: Count = 1
    """Parts of a batch that run one after another, to save memory; the result stays."""
    steps: Count = 20_000
    """Length of the whole run and of the learning rate's schedule."""
    log_every: Count = 50
    """Steps between lines of `metrics.jsonl`, which hold their means."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    keep: Count = 2
    """Newest checkpoints to keep."""
    keep_best: CountOrZero = 1
    """Checkpoints of the lowest mean loss to keep, too."""
    checkpoints: Annotated[str, Streamed()] = ""
    """Folder or URL (gs://bucket/run) of checkpoints; by default in the output."""
    validate_every: CountOrZero = 0
    """Steps between measurements of the loss on `data.held_out`; 0 is off."""
    sheet_every: CountOrZero = 0
    """Steps between contact sheets; 0 draws one at the end only."""
    on_bad_loss: Literal["stop", "skip"] = "stop"
    """On a loss that is NaN, infinite or a spike; the state stays as it was."""
    spike: Weight = 0.0
    """A loss this many times its running mean is a spike; 0 is off."""
