"""The facts of one side: `module.kind[key]`, the role of a resource, → fact → value."""

from forms import deletion, tags
from kinds import KINDS
from kinds.kind import Kind
from shapes import shaped
from values import Resource, plain

# Of every kind: what becomes of it when it is deleted, and its tags.
COMMON = [("deletion", deletion, deletion), ("tags", "tags", tags)]
# Rules of security groups have tags in Terraform alone, where rules are resources.
WITHOUT_TAGS = {"ingress", "egress", "container", "record", "dashboard", "scaling_policy", "endpoint_group", "accelerator_listener"}
# With a prefix Terraform makes a name up, as CloudFormation does without one.
UNCOMPARED = {"name_prefix", "bucket_prefix"}


def facts(side) -> dict[str, dict[str, object]]:
    """Role → fact → value, of everything that the side has. What no kind describes is there as well, so that the other side has to have it."""
    found = roles(side)
    known = {resource.label for _, resource in found.values()}
    others = [each for each in side.resources if each.label not in known]
    for each in others:
        side.named(each, other_role(each))
    whole = {"outputs": {name: each.strip() if isinstance(each, str) else each for name, each in side.outputs.items()}, "fields": side.fields}
    return {role: flat("", of_resource(*each)) for role, each in found.items()} | {other_role(each): {} for each in others} | whole


def roles(side) -> dict[str, tuple[Kind, Resource]]:
    """What the side has of the kinds that both have. References to it are its role from now on."""
    shaped(side)
    found: dict[str, tuple[Kind, Resource]] = {}
    for kind in KINDS:
        for resource in [each for each in side.resources if each.kind == getattr(kind, column(side))]:
            role = f"{resource.module}.{kind.name}{key(kind, resource)}"
            assert role not in found, f"{side.title} has two of {role}"
            side.named(resource, role)
            found[role] = (kind, resource)
    return found


def other_role(resource: Resource) -> str:
    return f"{resource.module}.{resource.kind}[{resource.label}]"


def column(side) -> str:
    return "terraform" if side.title == "Terraform" else "template"


def key(kind: Kind, resource: Resource) -> str:
    if not kind.key:
        return ""
    if kind.key == "@":
        return f"[{resource.side.short(resource)}]"
    row, = (row for row in kind.rows if row[0] == kind.key)
    return f"[{value(row, resource)}]".replace("{", "").replace("}", "")


def value(row: tuple, resource: Resource) -> object:
    place = row[1] if resource.side.title == "Terraform" else row[2]
    return resource.at(place) if isinstance(place, str) else plain(place(resource))


def of_resource(kind: Kind, resource: Resource) -> dict[str, object]:
    rows = kind.rows + [row for row in COMMON if row[0] != "tags" or kind.name not in WITHOUT_TAGS]
    found = {row[0]: value(row, resource) for row in rows}
    resource.read |= {"tags", "Tags"} | UNCOMPARED
    return found | resource.unread()


def flat(path: str, found: object) -> dict[str, object]:
    """Path → value, of everything that is there."""
    if isinstance(found, dict):
        return {name: each for part, inner in found.items() for name, each in flat(f"{path}.{part}".removeprefix("."), inner).items()}
    return {} if found in (None, [], "") else {path: found}
