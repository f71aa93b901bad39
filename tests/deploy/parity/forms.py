"""Ways to read a fact that is not the value of one attribute: each returns what both sides can be compared by."""

import json
import re

from values import Resource, passed


def default(path: str, otherwise: object):
    """The value, or what holds when none is given."""
    def read(each: Resource) -> object:
        value = each.at(path)
        return otherwise if value is None else value
    return read


def listed(path: str):
    """The only element of a list."""
    def read(each: Resource) -> object:
        found = each.at(path)
        return found[0] if found and len(found) == 1 else found
    return read


def sorted_list(path: str):
    """A list whose order means nothing."""
    return lambda each: sorted(each.at(path) or [], key=str)


def names(path: str, key: str):
    """The names of objects, which have nothing else."""
    return lambda each: sorted(only(said(value), key)[key] for value in each.at(path) or [])


def lines(path: str):
    return lambda each: sorted(str(each.at(path) or "").splitlines())


def json_of(path: str):
    def read(each: Resource) -> object:
        text = each.at(path)
        return json.loads(text) if isinstance(text, str) else text
    return read


def without_dot(path: str):
    return lambda each: (each.at(path) or "").removesuffix(".")


def pairs(found: object, key: str, value: str) -> dict:
    return {each[key]: each.get(value) for each in found or []}


def tags(each: Resource) -> object:
    found = each.at("Tags")
    return pairs(found, "Key", "Value") if isinstance(found, list) else found


def deletion(each: Resource) -> str:
    """What becomes of it when it is deleted or replaced. Terraform keeps nothing but the last snapshot of a database."""
    if each.side.title == "Terraform":
        return "Snapshot" if each.at("final_snapshot_identifier") and not each.at("skip_final_snapshot") else "Delete"
    usual = {"DeletionPolicy": "Snapshot"} if each.kind == "AWS::RDS::DBCluster" else {}
    policies = {each.at(name) or usual.get(name, "Delete") for name in ("DeletionPolicy", "UpdateReplacePolicy")}
    return ", ".join(sorted(policies))


# Attributes of load balancers and target groups.

def attributes(name: str):
    """An attribute of a load balancer or a target group, which CloudFormation has as a list of keys and values (shapes.py)."""
    def read(each: Resource) -> object:
        list_ = "TargetGroupAttributes" if each.kind.endswith("TargetGroup") else "LoadBalancerAttributes"
        return each.at(f"{list_}.{name.replace('.', '-')}")
    return read


def said(value: dict) -> dict:
    """What a block says. Terraform has what it does not say as nothing, or as false."""
    return {name: each for name, each in value.items() if each not in (None, [], False)}


def only(value: dict, *known: str) -> dict:
    """The value, which has nothing that its reader would leave out."""
    assert set(value) <= set(known), f"{set(value) - set(known)} of {value} is not compared"
    return value


# Parameters and settings.

def parameters(each: Resource) -> object:
    found = each.at("parameter") or each.at("Parameters") or each.at("Properties")
    return {name: value for name, value in pairs(found, "name", "value").items()} if isinstance(found, list) else found


def settings(each: Resource) -> object:
    return pairs(each.at("setting"), "name", "value") or pairs(each.at("ClusterSettings"), "Name", "Value")


def least(each: Resource) -> object:
    """The fewest tasks of the only thing that is scaled, which is where a service begins that has no number of its own."""
    found, = (other for other in each.side.resources if other.kind == "AWS::ApplicationAutoScaling::ScalableTarget")
    return found.at("MinCapacity")


def scaled(each: Resource) -> object:
    """What a policy of Terraform scales: it repeats three attributes of it."""
    names = ("resource_id", "scalable_dimension", "service_namespace")
    found = [other for other in each.side.resources if other.kind == "aws_appautoscaling_target" and all(other.at(name) == each.at(name) for name in names)]
    return "{%s.scaling}" % found[0].module if found else None


def after(kind: str, module: str = ""):
    """Whether it changes only when all of that kind, in a module, are there, and not at all when one fails."""
    def read(each: Resource) -> bool:
        return all(other.label.partition("[")[0] in each.after for other in each.side.all if other.kind == kind and module in ("", other.module))
    return read


def secret(each: Resource) -> object:
    """The secret that a password is resolved from."""
    found = re.fullmatch(r"\{\{resolve:secretsmanager:(\{.*\}):SecretString:*\}\}", str(listed("Passwords")(each)))
    return found[1] if found else None


def bucket_lifecycle(each: Resource) -> object:
    """Rules by what they do. That of Terraform is called by its id."""
    found = {}
    for rule in each.at("aws_s3_bucket_lifecycle_configuration") or []:
        for one in rule["rule"]:
            only(one, "id", "status", "filter", "expiration", "noncurrent_version_expiration", "abort_incomplete_multipart_upload")
            found[one["id"]] = {
                "status": one["status"],
                "days": first(one, "expiration", "days"),
                "noncurrent_days": first(one, "noncurrent_version_expiration", "noncurrent_days"),
                "abort_days": first(one, "abort_incomplete_multipart_upload", "days_after_initiation"),
            }
    for one in only(each.at("LifecycleConfiguration") or {}, "Rules").get("Rules", []):
        only(one, "Id", "Status", "ExpirationInDays", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
        found[one.get("Id", "expire")] = {
            "status": one["Status"],
            "days": one.get("ExpirationInDays"),
            "noncurrent_days": first(one, "NoncurrentVersionExpiration", "NoncurrentDays"),
            "abort_days": first(one, "AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
        }
    return found


def first(block: dict, name: str, attribute: str) -> object:
    inner = passed(block.get(name))
    return only(said(inner), attribute).get(attribute) if inner else None
