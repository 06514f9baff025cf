"""Pinned packages are in the list of licences, weights of others have theirs beside them."""

import csv
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from full4d_jax.media.video_io import read_credit
from full4d_jax.models.tensor_files import open_tensors
from full4d_jax.source.options import CLIP

DOCS = Path(__file__).parents[1] / "docs"
# Wheels too large to fetch for their metadata; docs/model_card.md tells their licences.
ELSEWHERE = {"libtpu", "torch", "torchvision"}


def rows() -> list[dict[str, str]]:
    with (DOCS / "dependencies.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_pinned_package_is_listed_in_its_version():
    pins = set()
    for line in (DOCS.parent / "constraints.txt").read_text().splitlines():
        if line and line[0] != "#":
            pin = Requirement(line)
            name = re.sub(r"[-_.]+", "-", pin.name.lower())
            if pin.marker is None or pin.marker.evaluate({"python_version": "3.11"}):
                pins.add((name, str(pin.specifier).removeprefix("==")))
    listed = {(row["name"], row["version"]) for row in rows()}
    assert {pin for pin in pins - listed if pin[0] not in ELSEWHERE} == set()
    assert listed - pins == set()


def test_the_clip_names_whom_to_credit_as_the_text_beside_it_does():
    line, *_ = CLIP.with_suffix(".txt").read_text().splitlines()
    assert "CC BY 4.0" in line
    assert read_credit(CLIP) == line


def test_the_wheel_names_the_licences_of_all_that_it_ships():
    root = DOCS.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert set(project["license"].split(" AND ")) == {"Apache-2.0", "MIT", "CC-BY-4.0"}
    shipped = {x for pattern in project["license-files"] for x in root.glob(pattern)}
    package = root / "full4d_jax"
    others = {*package.glob("**/*.LICENSE"), CLIP.with_suffix(".txt")}
    assert shipped == {root / "LICENSE", *others}
    assert len(others) == 3


def test_weights_of_others_have_their_licence_beside_them():
    page = (DOCS / "model_card.md").read_text()
    folder = DOCS.parent / "full4d_jax" / "weights"
    for weights in folder.glob("*.safetensors"):
        assert weights.name in page, weights
    credits = {"segmentation": "Apache-2.0", "silhouette": "Apache-2.0"}
    credits["fast_depth"] = "MIT"
    for name, licence in credits.items():
        path = folder / f"{name}.safetensors"
        with open_tensors(path, expected="weights") as file:
            assert licence in file.metadata()["credit"]
    holders = {"tiefenrausch": "2020 Facebook Research"}
    holders["fast_depth"] = "2019 Diana Wofk"
    for name, holder in holders.items():
        licence = folder / f"{name}.LICENSE"
        assert licence.with_suffix(".safetensors").is_file()
        assert licence.name in page
        assert licence.read_text().startswith(f"MIT License\n\nCopyright (c) {holder}")
