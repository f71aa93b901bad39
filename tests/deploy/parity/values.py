"""What one side says of one resource: values that are read by path, and a record of which were.

A path is `a.b.c`; a list of one element is passed through, because Terraform has blocks as such lists. What is given and never read
is not compared, so it is reported as a difference: no attribute is left out by oversight.
"""


class Resource:
    """One resource of Terraform or of the template."""

    def __init__(self, module: str, kind: str, label: str, given: dict, side) -> None:
        self.module, self.kind, self.label, self.given, self.side = module, kind, label, given, side
        self.read: set[str] = set()
        # What it states that it comes after, beside what it refers to.
        self.after: list[str] = []

    def at(self, path: str) -> object:
        """The value with its references as roles; None if there is none."""
        self.read.add(path)
        value = self.given
        for step in path.split("."):
            value = passed(value)
            value = value.get(step) if isinstance(value, dict) else None
        return plain(self.side.resolved(value))

    def unread(self) -> dict[str, object]:
        """Path → value, of everything that is given and was not read."""
        return {path: plain(self.side.resolved(value)) for path, value in leaves(self.given, self.read)}


def passed(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def leaves(value: object, read: set[str], path: str = ""):
    """The paths below which nothing was read, and their values."""
    if path in read or value in (None, "", [], {}):
        return
    inner = passed(value)
    if isinstance(inner, dict) and not is_reference(inner):
        for name, each in inner.items():
            yield from leaves(each, read, f"{path}.{name}".removeprefix("."))
    else:
        yield path, value


def is_reference(value: dict) -> bool:
    return len(value) == 1 and all(name == "Ref" or name.startswith("Fn::") for name in value)


def plain(value: object) -> object:
    """Numbers and booleans as such where one side has them as text, and nothing in the place of what is empty."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if each not in (None, [], {})} or None
    if isinstance(value, list):
        return [plain(each) for each in value] or None
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value)) == value:
        return int(value)
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value
