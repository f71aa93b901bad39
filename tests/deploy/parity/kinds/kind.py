"""What of a kind of resources is the same fact on both sides.

A row is the name of a fact, where Terraform has it, and where CloudFormation has it: a path, or a function of the resource. What a
provider would take if nothing is given is written as `default(path, value)`. What no row names is compared as well: as something that
only one side says.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """One kind of resource. Where a module has several, `key` is the fact that tells them apart; `@` is the name in the sources."""

    name: str
    terraform: str
    template: str
    rows: list[tuple] = field(default_factory=list)
    key: str = ""
