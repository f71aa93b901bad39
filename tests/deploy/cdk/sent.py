#!/usr/bin/env python3
"""Asserts that every metric that a template names is sent, by the server or by AWS: sent.py SERVER TEMPLATE.

SERVER is the program of the server, for its own list of what it sends to CloudWatch. What AWS sends is in terraform/cloudwatch.txt.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

RESOURCES = json.loads(Path(sys.argv[2]).read_text())["Resources"]
SENT_BY_AWS = Path(__file__).parent.parent / "terraform/cloudwatch.txt"
OWN = "Realtime"


def of(kind: str) -> list[dict]:
    return [each["Properties"] for each in RESOURCES.values() if each["Type"] == kind]


def pairs(dimensions: list[dict]) -> dict:
    return {each["Name"]: json.dumps(each["Value"]) for each in dimensions}


def text(value: str | dict) -> str:
    """A text that CloudFormation joins, with `reference` for what it has of other resources."""
    return value if isinstance(value, str) else "".join(part if isinstance(part, str) else "reference" for part in value["Fn::Join"][1])


def named():
    """Where a metric is named, its namespace, its name, its dimensions and its statistic."""
    for alarm in of("AWS::CloudWatch::Alarm"):
        for query in alarm["Metrics"]:
            if stat := query.get("MetricStat"):
                metric = stat["Metric"]
                yield alarm["AlarmName"], metric["Namespace"], metric["MetricName"], pairs(metric["Dimensions"]), stat["Stat"]
    (dashboard,) = of("AWS::CloudWatch::Dashboard")
    for widget in json.loads(text(dashboard["DashboardBody"]))["widgets"]:
        for space, name, *rest, style in widget["properties"]["metrics"]:
            dimensions = {key: json.dumps(value) for key, value in zip(rest[::2], rest[1::2], strict=True)}
            yield widget["properties"]["title"], space, name, dimensions, style["stat"]
    for policy in of("AWS::ApplicationAutoScaling::ScalingPolicy"):
        if metric := policy["TargetTrackingScalingPolicyConfiguration"].get("CustomizedMetricSpecification"):
            yield policy["PolicyName"], metric["Namespace"], metric["MetricName"], pairs(metric["Dimensions"]), metric["Statistic"]


def common() -> dict:
    """What the task of the server adds to every metric."""
    (given,) = [
        variable["Value"]
        for task in of("AWS::ECS::TaskDefinition")
        for container in task["ContainerDefinitions"]
        for variable in container.get("Environment", [])
        if variable["Name"] == "REALTIME__TELEMETRY__CLOUDWATCH__DIMENSIONS"
    ]
    return {name: json.dumps(value) for name, value in json.loads(given).items()}


def sent_by_server(used: list) -> None:
    shown = subprocess.run([sys.argv[1], "config", "show"], env={}, capture_output=True, text=True, check=True).stdout
    listed = re.search(r"^telemetry\.cloudwatch\.metrics = \[(.*?)\]", shown, re.M | re.S).group(1)
    labels = {name: set(filter(None, re.split(r"[,\s]+", rest))) for name, rest in re.findall(r'"(\w+)(?:\{([^}]*)\})?"', listed)}
    always = common()
    assert len(used) > 50, len(used)
    for place, _, name, found, _ in used:
        assert name in labels, f"{place}: the server does not send {name}"
        assert always.items() <= found.items(), f"{place}: {name} has other dimensions"
        assert set(found) - set(always) <= labels[name], f"{place}: {name} is not sent with {set(found) - set(always)}"


def sent_by_aws(used: list) -> None:
    lines = SENT_BY_AWS.read_text().splitlines()
    listed = {tuple(line.split()) for line in lines if not line.startswith("#")}
    found = {(space, name, ",".join(sorted(dimensions)), statistic) for _, space, name, dimensions, statistic in used}
    assert found == listed, f"other metrics than AWS sends, or fewer: {found ^ listed}"


used = list(named())
sent_by_server([each for each in used if each[1] == OWN])
sent_by_aws([each for each in used if each[1] != OWN])
