"""What infra/monitoring holds, and what the expressions in it name.

TREE is the folder with infra/monitoring, docs/codes.md and docs/runbook.md: the clone, or a changed copy of it.
"""

import json
import os
import re
from pathlib import Path

import yaml

TREE = Path(os.environ["TREE"])
MONITORING = TREE / "infra/monitoring"

# The labels that Prometheus adds, and `region`, which every series may have.
ADDED = {"job", "instance", "namespace", "region", "le"}
# The series of Prometheus itself.
OF_PROMETHEUS = {"up": {"labels": set(), "type": "gauge"}}
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool", "inf", "nan"}


def alerts() -> list[dict]:
    files = sorted((MONITORING / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> dict[str, dict]:
    return {file.name: json.loads(file.read_text()) for file in sorted((MONITORING / "dashboards").glob("*.json"))}


def panels(dashboard: dict) -> list[dict]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def alarms() -> dict:
    return json.loads((MONITORING / "cloudwatch-alarms.json").read_text())


def concrete(expression: str) -> str:
    """The expression of a panel with values for the variables of Grafana."""
    for variable, value in {"$__rate_interval": "5m", "$__range": "1h"}.items():
        expression = expression.replace(variable, value)
    return re.sub(r"\$\w+", "x", expression)


def expressions() -> list[tuple[str, str]]:
    """Each expression, with where it is."""
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            found += [(f"{name}: {panel['title']}", concrete(target["expr"])) for target in panel["targets"]]
        for variable in dashboard["templating"]["list"]:
            query = re.fullmatch(r"label_values\((.*), (\w+)\)", str(variable.get("query", "")))
            if query:
                found.append((f"{name}: ${variable['name']}", query[1]))
    return found


def documented() -> dict[str, dict]:
    """The metrics of docs/codes.md: type and labels by name. A test holds that page equal to the source of the server."""
    found = dict(OF_PROMETHEUS)
    for line in (TREE / "docs/codes.md").read_text().splitlines():
        row = re.match(r"\| `(\w+)` \| (counter|gauge|histogram) \|[^|]*\| ([^|]*) \|", line)
        if row:
            found[row[1]] = {"type": row[2], "labels": set(re.findall(r"`(\w+)`", row[3]))}
    return found


def family(name: str) -> str:
    """The name in the table: that of a histogram has no suffix there."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if documented().get(base, {}).get("type") == "histogram" else name


def named(expression: str) -> list[tuple[str, set[str]]]:
    """The series that an expression selects, each with the labels that it compares."""
    grouping = r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
    rest = re.sub(r"\[[^\]]*\]", " ", re.sub(grouping, " ", expression))
    found = []
    for match in re.finditer(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\}|\()?", re.sub(r'(?<=[^\\])"[^"]*"', '""', rest)):
        name, following = match[1], match[2] or ""
        if following == "(" or name in WORDS or re.fullmatch(r"[a-z]|e\d+", name):
            continue
        found.append((name, set(re.findall(r"(\w+)\s*[=!]", following))))
    return found


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups or matches by."""
    lists = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression)
    return {label.strip() for each in lists for label in each.split(",") if label.strip()}
