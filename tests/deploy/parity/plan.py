"""What Terraform has applied with the stand-in of AWS, as resources whose references are roles.

A value that only AWS knows, such as an ARN, is made up by the stand-in, once for each resource. So wherever it occurs, it is a
reference to that resource. The plan says which attributes are configured; the others are of the provider, and are not compared.
"""

import json
import re
from pathlib import Path

from values import Resource

MADE_UP = re.compile(r"arn:aws:[a-z0-9-]+:eu-central-1:123456789012:[a-z0-9_]+/[0-9a-f]{12}|[a-z0-9-]+-[0-9a-f]{12}\b")
# What identifies a resource, whichever of these a reference uses.
IDENTITY = {"id", "arn", "name", "bucket", "key_id", "fqdn"}


def applied(folder: Path) -> tuple[dict, dict]:
    """The plan and the state in a folder, as `terraform show -json` prints them."""
    plan, state = (json.loads((folder / name).read_text()) for name in ("plan.json", "state.json"))
    return plan, state


class Plan:
    title = "Terraform"
    # What a block says beside its attributes is not in a plan.
    fields: dict[str, object] = {}

    def __init__(self, plan: dict, state: dict) -> None:
        self.roles: dict[str, str] = {}
        self.names: dict[str, str] = {}
        values = state["values"]
        self.values = values
        self.configured = dict(expressions(plan["configuration"]["root_module"]))
        self.provisioned = dict(provisioners(plan["configuration"]["root_module"]))
        found = list(flat(values["root_module"]))
        self.whole = {each["address"]: each["values"] for each in found}
        self.resources = [self.resource(each) for each in found if each["mode"] == "managed"]
        # As they are before those that are part of another one are taken away.
        self.all = tuple(self.resources)
        # Identity → address. Names that are given are not among them, because resources of different kinds have the same.
        self.owners = {text: resource.label for resource in self.resources for name, text in texts(self.whole[resource.label])
                       if name in IDENTITY and MADE_UP.fullmatch(text) and is_own(text, resource.kind)}

    def resource(self, each: dict) -> Resource:
        address = uncounted(each["address"])
        given = chosen(each["values"], self.configured[address]) | dynamic(each["values"], self.configured[address], each["type"])
        # A variable that is null leaves the value to the provider.
        given = {name: value for name, value in given.items() if not is_own(value, each["type"])}
        given["tags"] = each["values"].get("tags_all")
        found = Resource(address.split(".")[1], each["type"], each["address"], given, self)
        found.after = each.get("depends_on", [])
        return found

    @property
    def outputs(self) -> dict[str, object]:
        return {name: self.resolved(each["value"]) for name, each in self.values.get("outputs", {}).items()}

    def source(self, resource: Resource, attribute: str) -> str:
        """The address of the data source that the attribute is from."""
        address = uncounted(resource.label)
        name = self.configured[address][attribute]["references"][-1]
        return re.sub(rf"{resource.kind}\..*", name, address)

    def used(self, resource: Resource) -> list[str]:
        """What the program of a provisioner is given, by the identities of the resources: of variables a plan has no value."""
        address = uncounted(resource.label)
        names = [re.sub(rf"{resource.kind}\..*", name, address) for name in self.provisioned[address]["environment"]["references"]]
        identities = {uncounted(owner): text for text, owner in self.owners.items()}
        return [identities[name] for name in names if name in identities]

    def short(self, resource: Resource) -> str:
        """Its name among those of its kind: that of a container, or that of the resource."""
        return resource.given.get("name") or uncounted(resource.label).rpartition(".")[2]

    def target(self, value: object) -> str | None:
        """The resource that a reference leads to, by its address."""
        return self.owners.get(value) if isinstance(value, str) else None

    def named(self, resource: Resource, role: str) -> None:
        """From now on what identifies the resource is `{role}`, and other values of it that were made up `{role.attribute}`."""
        for path, text in texts(self.whole.get(resource.label, {})):
            if is_own(text, resource.kind):
                self.roles.setdefault(text, "{%s}" % (role if path in IDENTITY else f"{role}.{path}"))
        name = next((given for key in ("name", "cluster_identifier", "replication_group_id", "user_group_id", "user_id", "family")
                     if isinstance(given := resource.given.get(key), str)), None)
        if name:
            self.names["{%s}" % role] = name

    def resolved(self, value: object) -> object:
        if isinstance(value, dict):
            return {key: self.resolved(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.resolved(each) for each in value]
        if isinstance(value, str):
            return MADE_UP.sub(lambda match: self.roles.get(match[0], match[0]), value)
        return value


def uncounted(address: str) -> str:
    """The address in the configuration, where a resource that is there several times is there once."""
    return re.sub(r"\[[^\]]*\]", "", address)


def is_own(value: object, kind: str) -> bool:
    """Whether the value was made up for a resource of this kind itself."""
    name = kind.removeprefix("aws_")
    return isinstance(value, str) and re.fullmatch(rf"{name.replace('_', '-')}-[0-9a-f]{{12}}|arn:.*:{name}/[0-9a-f]{{12}}", value) is not None


def flat(module: dict):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from flat(child)


def expressions(module: dict, prefix: str = ""):
    """Address → what is configured, of every resource."""
    for each in module.get("resources", []):
        yield prefix + each["address"], each.get("expressions", {})
    for name, call in module.get("module_calls", {}).items():
        yield from expressions(call["module"], f"{prefix}module.{name}.")


def provisioners(module: dict, prefix: str = ""):
    """Address → what its provisioner runs, and with what."""
    for each in module.get("resources", []):
        for program in each.get("provisioners", []):
            assert program["type"] == "local-exec" and len(each["provisioners"]) == 1, f"{each['address']} has a program that is not compared"
            yield prefix + each["address"], program["expressions"]
    for name, call in module.get("module_calls", {}).items():
        yield from provisioners(call["module"], f"{prefix}module.{name}.")


def chosen(values: object, configured: object) -> object:
    """The values of what is configured. A block is a list in both."""
    if isinstance(configured, list) and isinstance(values, list):
        pattern = {name: each for block in configured for name, each in block.items()}
        return [chosen(each, pattern) for each in values]
    if isinstance(configured, dict) and isinstance(values, dict) and not {"references", "constant_value"} & set(configured):
        return {name: chosen(values[name], each) for name, each in configured.items() if name in values}
    return values


def dynamic(values: dict, configured: dict, kind: str) -> dict:
    """Blocks whose number is computed: the configuration of a plan lacks them. Those of the provider have values that it has made up."""
    return {name: value for name, value in values.items()
            if name not in configured and isinstance(value, list) and value and isinstance(value[0], dict)
            and not any(is_own(text, kind) for _, text in texts(value))}


def texts(value: object, path: str = ""):
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from texts(each, f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, path)
