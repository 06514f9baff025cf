"""Licences of all pinned packages, as a table of their names, versions and licences.

    pip install --dry-run --ignore-installed --no-deps --report REPORT --requirement constraints.txt
    python docs/dependencies.py REPORT > docs/dependencies.csv

pip (26 or newer) reads what the packages themselves state; nothing is installed. What its report
leaves out is filled from packages that are installed here.
"""

import csv
import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any

UNKNOWN = "see the package"
LONGEST = 60  # characters of a licence; longer ones are its whole text


def stated(about: dict[str, Any]) -> str:
    """Return the licence that a package's metadata state."""
    if about.get("license_expression"):
        return about["license_expression"]
    classes = [x for x in about.get("classifier") or [] if x.startswith("License ::")]
    named = [x.rpartition(" :: ")[2] for x in classes if x != "License :: OSI Approved"]
    text = (about.get("license") or "").strip().partition("\n")[0]
    return " or ".join(named) or (text if 0 < len(text) <= LONGEST else UNKNOWN)


def installed() -> dict[tuple[str, str], str]:
    """Return the licences of the packages that are installed here, by name and version."""
    found = (package.metadata.json for package in importlib.metadata.distributions())
    return {(plain(x["name"]), x["version"]): stated(x) for x in found}


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.lower())


def main() -> None:
    """Print the table."""
    report, here = json.loads(Path(sys.argv[1]).read_text()), installed()
    rows = []
    for package in report["install"]:
        about = package["metadata"]
        known = plain(about["name"]), about["version"]
        licence = stated(about)
        rows.append(
            [*known, here.get(known, UNKNOWN) if licence == UNKNOWN else licence]
        )
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["name", "version", "licence"])
    table.writerows(sorted(rows))


if __name__ == "__main__":
    main()
