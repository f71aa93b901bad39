"""The picture of the architecture in docs/aws.md: what it says that there is."""

import re
from pathlib import Path

PICTURE = (Path(__file__).resolve().parents[2] / "docs/aws.md").read_text().partition("\n    ")[2].partition("\n\n## ")[0]


def modules() -> set[str]:
    return {name for line in re.findall(r"modules? ([\w, ]+)$", PICTURE, re.M) for name in line.split(", ")}


def subnets() -> set[str]:
    """The kinds of subnets, which are the module `network`."""
    return set(re.findall(r"^ *(\w+) subnets", PICTURE, re.M))


def containers() -> set[str]:
    """Of a task of the server."""
    return set(re.findall(r"^ {25}(\w+) {2}", PICTURE, re.M))
