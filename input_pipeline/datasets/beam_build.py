"""Datasets built by Apache Beam (the extra `beam`), on whatever engine its options name.

Beam only says who makes which file: `dataset.write_dataset` writes each, on a folder that all
workers see, so the files are those that one machine or `--shard` jobs make.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam  # pyright: ignore[reportMissingImports]
from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
    PipelineOptions,
)

from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.datasets.encoding import ClipSource


def build(
    folder: str | Path, clips: ClipSource, *, shards: int, options: Sequence[str] = (), **words: Any
) -> None:
    """Write a dataset, one element of the pipeline a file; what is there already stays.

    Args:
      folder: on a file system that all workers see.
      clips: what to write; they are pickled.
      shards: about how many files, and elements.
      options: Beam's own, such as `--runner=FlinkRunner`; without any it runs here.
      words: further arguments of `write_dataset`: name, splits, about.

    Raises:
      ValueError: as in `write_dataset`, from whichever worker.
    """

    def write(index: int) -> int:
        return write_dataset(folder, clips, shards=shards, part=(index, shards), **words)

    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        parts = pipeline | "parts" >> beam.Create(range(shards))
        _ = parts | "spread" >> beam.Reshuffle() | "write" >> beam.Map(write)
