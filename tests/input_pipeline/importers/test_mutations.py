"""Damaged and nonsensical files of every layout end in the importers' own words, or are read."""

import json
import random

import pytest

from input_pipeline.importers.detect import read_captures

NONSENSE = [None, True, "x", "", -1, 0, 1e300, float("nan"), [], {}, [[]], [1, 2], {"a": 1}]
LAYOUTS = (
    "llff",
    "multicam",
    "cameras_json",
    "fdanyone",
    "panoptic",
    "dycheck",
    "instants",
    "technicolor",
    "opencv",
)


def mutate(value, rng, share):
    """A table with some of its parts replaced, dropped or left out."""
    if rng.random() < share:
        return rng.choice(NONSENSE)
    if isinstance(value, dict):
        kept = {key: mutate(part, rng, share) for key, part in value.items()}
        if kept and rng.random() < share:
            kept.pop(rng.choice(list(kept)))
        return kept
    if isinstance(value, list):
        return [mutate(part, rng, share) for part in value if rng.random() > share / 4]
    return value


def scramble(data, rng):
    """Bytes cut off, or some of them replaced."""
    if rng.random() < 0.3:
        return data[: rng.randrange(len(data) + 1)]
    changed = bytearray(data)
    for _ in range(rng.choice([1, 5, 50])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_importers_own_words(layout, tmp_path, write):
    path, rng, refused = write(layout, tmp_path / "f24_aperture5" / "s"), random.Random(0), 0
    (path / "sync.json").write_text('{"cam1": 0.0}')
    files = [f for f in path.rglob("*") if f.suffix in (".json", ".txt", ".npy")]
    for _ in range(60):
        file = rng.choice(files)
        whole = file.read_bytes()
        if file.suffix == ".json" and rng.random() < 0.7:
            table = mutate(json.loads(whole), rng, rng.choice([0.3, 0.05, 0.01]))
            file.write_text(json.dumps(table))
        else:
            file.write_bytes(scramble(whole, rng))
        try:
            read_captures(path, layout, None)
        except ValueError as error:
            assert ": found " in str(error)  # noqa: PT017 - some changes are harmless
            assert ", expected " in str(error)  # noqa: PT017
            refused += 1
        file.write_bytes(whole)
    assert refused > 20
