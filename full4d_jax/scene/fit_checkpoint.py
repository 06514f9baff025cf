"""A fit under way, kept in a file: one that was killed goes on where it was, to the same result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.session.files import read_arrays
from gaussians.fitting.fit_step import FitState
from input_pipeline.whole_files import whole_file


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
        saved_leaves = [saved[f"leaf_{i}"] for i in range(len(leaves)) if f"leaf_{i}" in saved]
        kinds = [[(x.shape, x.dtype) for x in some] for some in (saved_leaves, leaves)]
        if not is_own or kinds[0] != kinds[1]:
            return fresh
        state = jax.tree.unflatten(structure, [jnp.asarray(x) for x in saved_leaves])
        self.say(f"fitting goes on after step {int(state.step)} from {self.path}")
        return state

    def keep(self, state: FitState) -> None:
        """Replace the file, which is complete at all times."""
        leaves = {f"leaf_{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))}
        named: dict[str, Any] = leaves | {"mark": np.array(self.mark)}
        with whole_file(self.path) as partial:
            np.savez(partial, **named)

    def remove(self) -> None:
        """Remove the file, after the fit, when its result is safe."""
        self.path.unlink(missing_ok=True)
