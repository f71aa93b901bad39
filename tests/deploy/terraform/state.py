"""What Terraform has applied with the stand-in of AWS: STATE in the environment names the output of `terraform show -json`."""

import json
import os
from pathlib import Path

STATE = json.loads(Path(os.environ["STATE"]).read_text())


def resources(module: dict | None = None) -> dict[str, dict]:
    """Address → values, of everything in the state."""
    module = STATE["values"]["root_module"] if module is None else module
    found = {each["address"]: each["values"] for each in module.get("resources", [])}
    for child in module.get("child_modules", []):
        found |= resources(child)
    return found


def containers(task: str) -> dict[str, dict]:
    """Name → container, of the task `server` or `migration`."""
    # The migration is only where there is no service of another region.
    address = f"module.service.aws_ecs_task_definition.{task}"
    text = (resources().get(address) or resources()[f"{address}[0]"])["container_definitions"]
    return {each["name"]: each for each in json.loads(text)}


def variables(container: dict) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["environment"]}


def secret_files() -> dict[str, tuple[str, str, str]]:
    """Name of a file → its secret, and what the file has before and after it."""
    lines = variables(containers("server")["settings"])["SECRETS"].splitlines()
    parts = [(line + "   ").split(" ") for line in lines]
    return {name: (arn, before, after) for name, arn, before, after, *_ in parts}
