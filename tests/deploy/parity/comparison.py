"""The differences between what Terraform has applied and what the CDK has synthesised."""

from fnmatch import fnmatchcase
from typing import NamedTuple

from alone import ALONE
from facts import facts
from meant import ANY, MEANT, THERE
from plan import Plan
from template import Template


class Difference(NamedTuple):
    """What the sides say of a fact, and the sentence about it."""

    terraform: object
    cdk: object
    sentence: str


def differences(plan: Plan, template: Template) -> dict[str, Difference]:
    """Fact → what differs, of every fact that is not the same."""
    terraform, cdk = with_those_alone(facts(plan)), facts(template)
    found = {role: Difference(THERE, None, f"{role}: only {'alone.py' if role in ALONE else 'Terraform'} has it") for role in terraform.keys() - cdk.keys()}
    found |= {role: Difference(None, THERE, f"{role}: only the CDK has it") for role in cdk.keys() - terraform.keys()}
    for role in terraform.keys() & cdk.keys():
        for fact in terraform[role].keys() | cdk[role].keys():
            one, other = terraform[role].get(fact), cdk[role].get(fact)
            if not same(one, other, plan, template):
                expected = "alone.py" if fact in ALONE.get(role, {}) else "Terraform"
                found[f"{role}.{fact}"] = Difference(one, other, f"{role}.{fact}: {expected} {shown(one)}, CDK {shown(other)}")
    return dict(sorted(found.items()))


def with_those_alone(terraform: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return terraform | {role: terraform.get(role, {}) | found for role, found in ALONE.items()}


def same(one: object, other: object, plan: Plan, template: Template) -> bool:
    """A name that is given may stand for a reference to what has it, on one side or the other."""
    return one == other or one == written_out(other, template, plan) or written_out(one, plan, template) == other


def written_out(value: object, *sides: Plan | Template) -> object:
    if isinstance(value, dict):
        return {name: written_out(each, *sides) for name, each in value.items()}
    if isinstance(value, list):
        return [written_out(each, *sides) for each in value]
    if isinstance(value, str):
        for side in sides:
            for role, name in side.names.items():
                value = value.replace(role, name)
    return value


def shown(value: object) -> str:
    return "says nothing" if value is None else repr(value)


def unexplained(found: dict[str, Difference]) -> list[str]:
    """What meant.py does not explain."""
    return [each.sentence for name, each in found.items() if not any(explains(pattern, name, each) for pattern in MEANT)]


def unused(found: list[dict[str, Difference]]) -> list[str]:
    """What meant.py explains although it does not differ, in any size."""
    whole = [item for each in found for item in each.items()]
    return [f"meant.py explains {pattern}, which does not differ" for pattern in MEANT if not any(explains(pattern, *item) for item in whole)]


def explains(pattern: str, name: str, difference: Difference) -> bool:
    terraform, cdk, _ = MEANT[pattern]
    return fnmatchcase(name, escaped(pattern)) and is_meant(terraform, difference.terraform) and is_meant(cdk, difference.cdk)


def is_meant(expected: object, value: object) -> bool:
    return value is not None if expected is ANY else value == expected and isinstance(value, type(expected))


def escaped(pattern: str) -> str:
    """Brackets are those of a key, and no sets of letters."""
    return pattern.replace("[", "[[]")
