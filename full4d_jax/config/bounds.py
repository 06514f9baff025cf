"""The numbers that config fields may hold, by dotted name; `config.check_config` applies them."""

from typing import NamedTuple

ALL_SCENES = 2**30  # procedural scenes to train on; `input_pipeline` holds out those beyond


class Bound(NamedTuple):
    """Numbers from `low` to `high`."""

    low: float
    high: float
    words: str
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Whether `value` is a number of the right kind inside the bounds."""
        if type(value) is int or (type(value) is float and not self.whole):
            return self.low <= value <= self.high
        return False


MOST = 2**31 - 1
COUNT = Bound(1, MOST, "a whole number of at least 1", whole=True)
COUNT_OR_NONE = Bound(0, MOST, "a whole number of at least 0", whole=True)
SIDES = Bound(16, 4096, "pairs of sides (rendered, seen) of 16 to 4096 pixels", whole=True)
SHARE = Bound(0, 1, "a number from 0 to 1")
POSITIVE = Bound(1e-9, 1e9, "a finite number above 0")
WEIGHT = Bound(0, 1e9, "a finite number of at least 0")

BOUNDS = {
    "seed": Bound(0, MOST, f"a whole number from 0 to {MOST}", whole=True),
    "model.codec_stride": COUNT,
    "model.width": COUNT,
    "model.layers": COUNT,
    "model.heads": COUNT,
    "model.ffn": COUNT,
    "model.patch": COUNT,
    "model.text_width": COUNT_OR_NONE,
    "model.rope_theta": POSITIVE,
    "model.sigma_seen": POSITIVE,
    "model.sigma_hole": POSITIVE,
    "model.refiner": COUNT_OR_NONE,
    "model.lora_rank": COUNT_OR_NONE,
    "model.widths": COUNT,
    "model.attentions": COUNT,
    "data.views": Bound(2, MOST, "a whole number of at least 2, the source included", whole=True),
    "data.frames": COUNT,
    "data.height": COUNT,
    "data.width": COUNT,
    "data.corrupt_depth": SHARE,
    "data.drop_projection": SHARE,
    "data.drop_text": SHARE,
    "data.pseudo": SHARE,
    "data.strides": COUNT,
    "data.scenes": Bound(1, ALL_SCENES, f"1 to {ALL_SCENES} (others are held out)", whole=True),
    "data.early_sizes": SIDES,
    "data.sizes": SIDES,
    "flow.shift": POSITIVE,
    "flow.mean_share": SHARE,
    "flow.interval_share": SHARE,
    "flow.perceptual": WEIGHT,
    "flow.weight_limit": POSITIVE,
    "optimizer.learning_rate": POSITIVE,
    "optimizer.adam_learning_rate": POSITIVE,
    "optimizer.new_rate": POSITIVE,
    "optimizer.warmup": COUNT_OR_NONE,
    "optimizer.decay_share": SHARE,
    "optimizer.weight_decay": WEIGHT,
    "optimizer.adam_weight_decay": WEIGHT,
    "optimizer.clip": POSITIVE,
    "optimizer.ema": SHARE,
    "training.batch": COUNT,
    "training.accumulate": COUNT,
    "training.steps": COUNT,
    "training.log_every": COUNT,
    "training.checkpoint_every": COUNT,
    "training.keep": COUNT,
    "training.keep_best": COUNT_OR_NONE,
    "training.sheet_every": COUNT_OR_NONE,
    "training.spike": WEIGHT,
    "sampler.steps": COUNT,
    "sampler.noise": WEIGHT,
    "sampler.shift": POSITIVE,
    "sampler.guidance": WEIGHT,
    "sampler.text_guidance": WEIGHT,
    "sampler.group_views": COUNT_OR_NONE,
    "sampler.window_frames": COUNT_OR_NONE,
    "sampler.window_overlap": COUNT_OR_NONE,
    "lift.steps": COUNT,
    "lift.capacity": COUNT,
    "lift.source_weight": POSITIVE,
    "lift.perceptual": WEIGHT,
    "lift.anchor": SHARE,
    "mesh.data": COUNT_OR_NONE,
    "mesh.fsdp": COUNT,
    "mesh.view": COUNT,
    "mesh.time": COUNT,
    "mesh.tensor": COUNT,
}
