"""Policies by what they allow. How actions are put into statements means nothing, and neither does the order of anything."""

import json
import re

from forms import only
from values import Resource


def reference(text: object) -> object:
    """A resource by its role, where an ARN is written around it."""
    return re.sub(r"arn:aws:[a-z0-9-]+:[a-z0-9-]*:\d*:(?:[a-z-]+[:/])?(\{[^}.]*\})", r"\1", text) if isinstance(text, str) else text


def many(value: object) -> list:
    return sorted((reference(each) for each in value), key=str) if isinstance(value, list) else [reference(value)]


def allowed(found: list) -> dict:
    """Effect and action → on what, for whom and when. How actions are put into statements means nothing."""
    by_action: dict[str, list] = {}
    for each in found:
        only(each, "Sid", "Effect", "Action", "Resource", "Principal", "Condition")
        entry = {"on": many(each.get("Resource", []))}
        if each.get("Principal"):
            to = each["Principal"]
            entry["for"] = {name: many(value) for name, value in (to if isinstance(to, dict) else {"AWS": to}).items()}
        if each.get("Condition"):
            entry["when"] = {test: {name: many(value) for name, value in tested.items()} for test, tested in each["Condition"].items()}
        for action in many(each["Action"]):
            by_action.setdefault(f"{each.get('Effect', 'Allow')} {action}", []).append(entry)
    return {action: sorted(entries, key=str) for action, entries in by_action.items()}


def document(value: object) -> list:
    found = json.loads(value) if isinstance(value, str) else value
    statement = found["Statement"] if found else []
    return statement if isinstance(statement, list) else [statement]


def statements(path: str):
    return lambda each: allowed(document(each.at(path)))


def trust(each: Resource) -> object:
    return allowed(document(each.at("assume_role_policy") or each.at("AssumeRolePolicyDocument")))


def grants(each: Resource) -> object:
    """What a role may do by all of its policies."""
    found = [json.loads(policy["policy"]) for policy in each.at("aws_iam_role_policy") or []]
    found += [policy["PolicyDocument"] for policy in (each.at("AWS::IAM::Policy") or []) + (each.at("Policies") or [])]
    return allowed([statement for policy in found for statement in document(policy)])


def managed(each: Resource) -> object:
    found = each.at("ManagedPolicyArns")
    return [reference(arn) for arn in found] if found else None
