"""One process of a run of three steps on a mesh; prints its losses and the scenes it rendered.

Arguments: address of the first process, number of processes, which of them this is.
"""

import json
import sys
from dataclasses import replace

import jax
import numpy as np

from full4d_jax.config import MeshConfig, load_config
from full4d_jax.generation.batch import Batch
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.state import in_mesh, init_state, training_mesh
from full4d_jax.training.step import train_step

address, count, index = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if count > 1:
    jax.distributed.initialize(address, count, index)
config = load_config("configs/debug.py")
config = replace(
    config,
    model=replace(config.model, layers=1, refiner=0),
    optimizer=replace(config.optimizer, kind="adamw"),  # compiles faster
    training=replace(config.training, batch=4),
    data=replace(config.data, views=2, frames=1),
    mesh=MeshConfig(data=2, fsdp=2, view=2),
)
mesh = training_mesh(config)
assert mesh is not None
state = init_state(config, jax.random.key(0), mesh)
losses, rendered = [], []
step, batches = (
    jax.jit(in_mesh(mesh, train_step(config))),
    training_batches(config, 0, mesh),
)
for _ in range(3):
    batch = next(batches)
    assert isinstance(batch, Batch)
    shards = {str(x.index): np.asarray(x.data) for x in batch.frames.addressable_shards}
    rendered.append({where: float(x.sum()) for where, x in shards.items()})
    state, metrics = step(state, batch)
    losses.append(float(metrics["loss"]))
print(json.dumps({"losses": losses, "rendered": rendered}))
