"""Licences of all pinned packages, as a table of their names, versions and licences.

    pip install --dry-run --ignore-installed --no-deps --report REPORT --requirement constraints.txt
    python docs/dependencies.py REPORT > docs/dependencies.csv

pip reads what the packages themselves state; nothing is installed. Left out, REPORT is what is
installed here.
"""

import csv
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = 60  # characters of a licence; longer ones are its whole text


def stated(about: dict[str, Any]) -> str:
    """Return the licence that a package's metadata state."""
    if about.get("license_expression"):
        return about["license_expression"]
    classes = [x for x in about.get("classifier") or [] if x.startswith("License ::")]
    named = [x.rpartition(" :: ")[2] for x in classes if x != "License :: OSI Approved"]
    text = (about.get("license") or "").strip().partition("\n")[0]
    return " or ".join(named) or (text if 0 < len(text) <= LONGEST else "see the package")


def installed() -> Iterator[dict[str, Any]]:
    """Yield the metadata of the packages that are installed here."""
    for found in importlib.metadata.distributions():
        told = found.metadata.json
        yield {**told, "classifier": told.get("classifier", [])}


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        report = json.loads(Path(sys.argv[1]).read_text())
        packages = [package["metadata"] for package in report["install"]]
    else:
        packages = list(installed())
    rows = {(x["name"].lower().replace("_", "-"), x["version"], stated(x)) for x in packages}
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["name", "version", "licence"])
    table.writerows(sorted(rows))


if __name__ == "__main__":
    main()
