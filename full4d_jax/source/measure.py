"""The stage that measures the depth of a grid's real rows: from a file, known, or by a network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid, plate_arrays, plate_in
from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source import options
from full4d_jax.source.depth.clean_plate import depth_within, describe_plate
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_from_file
from full4d_jax.source.depth.estimators import AnyNetwork, network_file, open_network
from full4d_jax.source.handheld.path_scale import check_moves, in_unit, settle_scale
from full4d_jax.source.lens import LensEstimate
from full4d_jax.source.measured_depth import (
    describe_sweep,
    measure_depth,
    measure_real_rows,
)
from full4d_jax.source.subjects import load_subject_networks


@dataclass(frozen=True)
class DepthInputs:
    """What depth is measured by, read before the first stage replaces an earlier one.

    Attributes:
      asked: the options.
      network: the depth network.
      file: of depth, or None.
      depth: that of the file, or None.
    """

    asked: options.NetworkOptions
    network: AnyNetwork
    file: Path | None
    depth: Float[ndarray, "t h w"] | None

    @property
    def lens(self) -> LensEstimate | None:
        """The network's estimate of a clip's lens; None where it has none."""
        network = self.network
        return network.fov if isinstance(network, DepthFile) and network.knows_lens else None

    @property
    def settings(self) -> dict[str, Any]:
        """What the measured depth depends on beside the grid, for `stages.fingerprint`."""
        return {
            "file": self.file,
            "net": network_file(self.asked.depth_network),
            "kind": self.asked.depth_kind,
            "keep_estimate": self.asked.keep_estimate,
        }


def read_depth_inputs(source: options.SampleOptions, size: DataConfig) -> DepthInputs:
    """Read the depth network, and the file of depth where the options name one.

    Args:
      source: the options of the source.
      size: of the result, which the file has too.

    Raises:
      InputError: One of them is unusable, or both are asked for.
    """
    network_options = source.measured or options.NetworkOptions()
    file = network_options.depth_file()
    network = open_network(network_options.depth_network, network_options.depth_kind)
    depth = None
    if file is not None:
        depth = depth_from_file(file, size.frames, size.height, size.width)
    return DepthInputs(network_options, network, file, depth)


def run_depth(stages: Stages, grid: Grid, inputs: DepthInputs) -> Grid:
    """Run the stage depth: measure the real rows of a grid.

    Raises:
      InputError: see `measure`.
    """
    check_depth_file(grid, inputs)
    arrays = stages.run("depth", inputs.settings, lambda: measure(grid, inputs, stages.say))
    return measured(grid, arrays)


def measure(grid: Grid, inputs: DepthInputs, say: Callable[[str], None]) -> Arrays:
    """Return the depth of all real rows, in the world's unit, as the stage `depth` saves it.

    Args:
      grid: real rows with cameras.
      inputs: what depth is measured by.
      say: prints a line for people.

    Raises:
      InputError: The depth of the file does not follow a camera that moves, or has no depth where
        the unit of the path could be found.
    """
    subject_networks = None if inputs.asked.keep_estimate else load_subject_networks()
    plate = None
    if inputs.depth is not None:
        depth, unit = settle_scale(grid, inputs.depth, estimated=False)
    else:
        if grid.depth is None and isinstance(inputs.network, DepthFile):
            say(inputs.network.description)
        depth, unit, _, swept, plate = measure_depth(grid, inputs.network, subject_networks)
        if swept:
            say(describe_sweep(swept))
        if plate is not None:
            height, width = grid.frames.shape[2:4]
            behind = depth_within(plate, height, width)
            if behind.any():
                say(describe_plate(behind))
    rows = np.asarray(depth)[None]
    if grid.real_rows > 1:
        other_rows = measure_real_rows(grid, unit, inputs.network, subject_networks)
        rows = np.concatenate([rows, other_rows])
    arrays = {"depth": rows, "path_unit": np.asarray(unit)}
    return arrays if plate is None else arrays | plate_arrays(plate)


def check_depth_file(grid: Grid, inputs: DepthInputs) -> None:
    """Refuse a file with one map of depth for all frames of a camera that moves.

    Raises:
      InputError: naming the file.
    """
    if inputs.depth is not None:
        check_moves(grid, inputs.depth, str(inputs.file))


def measured(grid: Grid, arrays: Mapping[str, ndarray]) -> Grid:
    """Return a grid with its measured depth, whose cameras are in the world's unit."""
    placed = in_unit(grid, float(arrays["path_unit"]))
    return replace(placed, depth=arrays["depth"], around=None, plate=plate_in(arrays))
