"""A run of one small array, for tests of everything around the step."""

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from full4d_jax.config import Config, TrainingConfig
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import TrainState, apply_gradients, first_state
from full4d_jax.training.training_loop import Reporting, run_training

OPTIMIZER = optax.adam(0.1)


def first() -> TrainState:
    """One number, and enough others that they lie in files of their own."""
    y = jax.random.normal(jax.random.key(0), (128, 64))
    return first_state(OPTIMIZER, {"x": jnp.zeros(()), "y": y})


def step(state: TrainState, batch):
    """Moves numbers to the mean of the batch; a histogram with one bin a sample."""
    gradients = {name: x - batch.mean() for name, x in state.params.items()}
    loss = jnp.square(gradients["x"])
    metrics = {"loss": loss, "times": jnp.array([0.0, batch.shape[0]])}
    return apply_gradients(OPTIMIZER, 0.9, state, gradients), metrics


def batches(start: int):
    """The batch of step n has n % 3 + 1 samples."""
    return (jnp.full(n % 3 + 1, float(n)) for n in itertools.count(start))


def short(
    out: Path,
    init: Path | None = None,
    seed: int = 0,
    data=batches,
    reporting: Reporting | None = None,
    devices: int | None = None,
    **training,
):
    """A run of the above, sharded over `devices` if given; returns its state and summary."""
    length = {"steps": 7, "log_every": 2, "checkpoint_every": 3, **training}
    config = Config(seed=seed, training=TrainingConfig(**length))
    record, state = run_record(config, init), first()
    place: Callable[[jax.Array], jax.Array] = jnp.asarray
    if devices:
        mesh = jax.make_mesh(
            (devices,),
            ("data",),
            (jax.sharding.AxisType.Auto,),
            devices=jax.devices()[:devices],
        )

        def shard(x: jax.Array) -> jax.Array:
            spec = P("data") if x.ndim == 2 else P()
            return jax.device_put(x, NamedSharding(mesh, spec))

        place = shard
        state = jax.tree.map(place, state)

    def stream(start):
        return map(place, data(start))

    return run_training(
        step,
        start_at(state),
        stream,
        config.training,
        out,
        record,
        reporting=reporting or Reporting(),
    )


def command(
    out: Path, pause: float = 0.0, together: bool = False, **words
) -> list[str]:
    """The command of a process that does `short`, or a part of it, pausing before each batch."""
    return [sys.executable, __file__, str(out), json.dumps([pause, together, words])]


def main() -> None:
    """Run the program of `command`."""
    jax.config.update("jax_platforms", "cpu")
    pause, together, words = json.loads(sys.argv[2])
    if together:
        jax.distributed.initialize()

    def data(start):
        for batch in batches(start):
            time.sleep(pause)
            yield batch

    short(Path(sys.argv[1]), data=data, **words)


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict]:
    """Read a file of JSON lines; the times in it differ from run to run."""
    found = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key != "speed"} for line in found
    ]


def same(a, b) -> bool:
    """Whether all arrays of two pytrees are equal."""
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


if __name__ == "__main__":
    main()
