"""A chart as Helm renders it, for the checks of this folder."""

import base64
import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
CHART = Path(os.environ.get("CHART", ROOT / "helm" / "realtime-server"))
HELM = os.environ["HELM"]
NAME = "rt-realtime-server"


def template(*arguments: str) -> list[dict]:
    """The objects of a release `rt`. Fails with what Helm says."""
    run = subprocess.run(
        [HELM, "template", "rt", CHART, "--kube-version", "1.29.0", *arguments], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return [found for found in yaml.safe_load_all(run.stdout) if found]


def with_values(values: dict, *arguments: str) -> list[dict]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return template("--values", file.name, *arguments)


def of_kind(objects: list[dict], kind: str) -> dict[str, dict]:
    return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}


def one(objects: list[dict], kind: str) -> dict:
    """The object of the server itself, among those of its kind."""
    found = [found for found in of_kind(objects, kind).values() if is_of_server(found)]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def is_of_server(found: dict) -> bool:
    return found["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "server"


def pods(objects: list[dict]) -> dict[str, dict]:
    """Every pod that the objects make, with its labels, by kind and name."""
    found = {}
    for each in objects:
        key = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Pod":
            found[key] = each
        elif each["kind"] in ("Deployment", "Job"):
            found[key] = each["spec"]["template"]
    return found


def server_pod(objects: list[dict]) -> dict:
    return one(objects, "Deployment")["spec"]["template"]


def settings(objects: list[dict]) -> dict:
    """The file config.toml, read by another parser than the server's."""
    maps = [found["data"] for found in of_kind(objects, "ConfigMap").values() if is_of_server(found)]
    # The others are dashboards.
    texts = [data["config.toml"] for data in maps if "config.toml" in data]
    assert len(texts) == 1, f"{len(texts)} files of settings"
    return tomllib.loads(texts[0])


def secret_text(secret: dict, key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def files_of(pod: dict, objects: list[dict]) -> dict[str, str]:
    """What the pod finds in its mounted folders, by path. Secrets that the chart does not make hold an example."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    files = {}
    for mount in pod["spec"]["containers"][0]["volumeMounts"]:
        assert "subPath" not in mount, f"{mount['mountPath']} would never change while the pod runs"
        for name, text in volume_files(volumes[mount["name"]], objects).items():
            files[f"{mount['mountPath']}/{name}"] = text
    return files


def variables(pod: dict) -> dict[str, str]:
    """The variables of its container, as the kubelet makes them. What it takes from the machine is an address here."""
    found: dict[str, str] = {}
    for each in pod["spec"]["containers"][0]["env"]:
        text = each.get("value", "10.0.0.5")
        found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found.get(name[1], name[0]), text)
    return found


def volume_files(volume: dict, objects: list[dict]) -> dict[str, str]:
    if "projected" in volume:
        parts = [part["secret"] for part in volume["projected"]["sources"]]
        return {name: text for part in parts for name, text in of_secret(part, objects).items()}
    if "secret" in volume:
        return {name: example(name) for name in ("tls.crt", "tls.key")}
    if "configMap" in volume:
        made = of_kind(objects, "ConfigMap").get(volume["configMap"]["name"])
        return dict(made["data"]) if made else {}
    return {}


def of_secret(source: dict, objects: list[dict]) -> dict[str, str]:
    made = of_kind(objects, "Secret").get(source["name"])
    if "items" in source:
        return {item["path"]: secret_text(made, item["key"]) if made else example(item["path"]) for item in source["items"]}
    assert made, f"the chart makes no Secret {source['name']}, and no key of it is named"
    return {key: secret_text(made, key) for key in made["data"]}


def example(name: str) -> str:
    """A valid secret of this name."""
    match name.split(".")[-1]:
        case "redis_url":
            return "redis://:password@redis.example.com:6379"
        case "url":
            return "postgres://realtime:password@database.example.com/realtime"
        case "jwks_url":
            return "https://auth.example.com/jwks.json"
        case "encryption_key":
            return "0123456789abcdef0123456789abcdef"
        case _:
            return f"an example of more than thirty-two bytes for {name}"
