"""Configuration of training: the loss, the optimizer, the loop. Imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FlowConfig:
    """Rectified flow: flow time tau in [0, 1], 0 = data, 1 = noise."""

    shift: float = 1.5
    """sigma in tau' = sigma tau / (1 + (sigma - 1) tau), in training."""
    times: Literal["uniform", "logit_normal"] = "uniform"
    """What tau is drawn from before that shift: all of (0, 1) alike, or the logistic function of a
    standard normal number, mostly from the middle (Stable Diffusion 3)."""
    mean_share: float = 0.4
    """Share of the clips trained at tau = 1 from zero noise, to regress the mean in one call."""
    interval_share: float = 0.0
    """Share of the other clips that train the mean velocity from tau down to an earlier flow time,
    uniform below tau (SplitMeanFlow; above 0 needs `model.mean_flow`)."""
    perceptual: float = 0.0
    """Weight of LPIPS (AlexNet) in that regression; above 0 needs the extra `metrics`."""
    weight_limit: float = 50.0
    """Upper limit of the loss weight 1 + (sigma (1 - tau) / tau)^2 on predicted latents."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How the parameters follow the gradients, and which of them do."""

    kind: Literal["muon", "adamw"] = "muon"
    """Muon on the blocks' matrices and AdamW (with Nesterov's momentum) on everything else; or
    plain AdamW on all."""
    trainable: Literal["all", "attention", "lora", "synchronization"] = "all"
    """All parameters; the self-attention and what a video model lacks (cameras, projectors, mask,
    synchronization); that with adapters of rank `model.lora_rank` in all linears of the blocks
    instead of the attention; or the synchronization alone."""
    learning_rate: float = 0.015
    """Muon's, at its highest."""
    adam_learning_rate: float = 0.0015
    """AdamW's, at its highest."""
    new_rate: float = 1.0
    """Factor of both for the parameters that a pretrained video model lacks (cameras, projectors,
    mask, contexts, synchronization)."""
    schedule: Literal["trapezoid", "cosine"] = "trapezoid"
    """Learning rate after the warm-up: constant, then linearly to zero; or half a cosine to zero
    over all steps."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay_share: float = 0.3
    """`trapezoid`: last share of the steps, in which the learning rate falls."""
    weight_decay: float = 0.01
    """Of what Muon updates, a share of the parameters per step and unit of the learning rate."""
    adam_weight_decay: float = 0.01
    """The same of what AdamW updates."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged parameters, warmed up as (1 + step) / (10 + step)."""


@dataclass(frozen=True)
class TrainingConfig:
    """Length and bookkeeping of a training run."""

    batch: int = 8
    """Clips in a step."""
    accumulate: int = 1
    """Parts of a batch whose gradients are computed one after the other and added up, to save
    memory. The clips, their noise and (but for rounding) the gradients are those of one part."""
    steps: int = 20_000
    """Length of the whole run, and so of the learning rate's schedule."""
    log_every: int = 50
    """Steps from one line of `metrics.jsonl`, which holds their means, to the next."""
    checkpoint_every: int = 500
    """Steps."""
    keep: int = 2
    """Newest checkpoints to keep."""
    keep_best: int = 1
    """Checkpoints to keep besides, those of the lowest mean loss since the checkpoint before."""
    checkpoints: str = ""
    """Their folder, or a URL such as gs://bucket/run; left out, `checkpoints` in the output."""
    sheet_every: int = 0
    """Steps from one contact sheet to the next; 0 draws one at the end only."""
    on_bad_loss: Literal["stop", "skip"] = "stop"
    """What to do when a loss is NaN, infinite or a spike; the state is left as it was."""
    spike: float = 0.0
    """How many times its running mean makes a loss a spike; 0 = no finite loss is one."""
