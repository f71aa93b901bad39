"""One form for what one side has as one resource and the other as several: run over the resources of a side before they are compared.

Routes are facts of their subnets, whatever tables they are in; what belongs to a bucket, a role, a secret or a certificate is part of
it; rules of security groups and containers of tasks are resources of their own.
"""

import json

from forms import only, said
from plan import uncounted
from values import Resource, is_reference

# Kind → the attribute that names the resource it is a part of. The part is there under its kind.
PARTS = {
    "aws_s3_bucket_versioning": "bucket", "aws_s3_bucket_lifecycle_configuration": "bucket", "aws_s3_bucket_public_access_block": "bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "bucket", "aws_s3_bucket_policy": "bucket", "aws_iam_role_policy": "role",
    "AWS::S3::BucketPolicy": "Bucket", "AWS::IAM::Policy": "Roles", "AWS::EC2::VPCGatewayAttachment": "InternetGatewayId",
}
RULES = {"SecurityGroupIngress": "AWS::EC2::SecurityGroupIngress", "SecurityGroupEgress": "AWS::EC2::SecurityGroupEgress"}
# Association, route, endpoint; and the attributes of each that are used.
ROUTES = {
    "Terraform": ("aws_route_table_association", "aws_route_table", "aws_route", "aws_subnet", "aws_vpc_endpoint",
                  "subnet_id", "route_table_id", "destination_cidr_block", ("gateway_id", "nat_gateway_id"), "route_table_ids"),
    "CDK": ("AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::RouteTable", "AWS::EC2::Route", "AWS::EC2::Subnet", "AWS::EC2::VPCEndpoint",
            "SubnetId", "RouteTableId", "DestinationCidrBlock", ("GatewayId", "NatGatewayId"), "RouteTableIds"),
}


def shaped(side) -> None:
    for shape in (parts, routes, rules, keyed, secrets, certificates, containers, programs):
        shape(side)


def of(side, kind: str) -> list[Resource]:
    return [each for each in side.resources if each.kind == kind]


def take(side, kind: str) -> list[Resource]:
    """The resources of the kind, which are no longer there afterwards."""
    found = of(side, kind)
    side.resources = [each for each in side.resources if each.kind != kind]
    return found


def owner(side, value: object) -> Resource | None:
    label = side.target(value)
    return next((each for each in side.resources if each.label == label), None)


def parts(side) -> None:
    for kind, attribute in PARTS.items():
        for part in take(side, kind):
            names = part.given.pop(attribute)
            for name in names if isinstance(names, list) else [names]:
                whole = owner(side, name)
                assert whole, f"{part.label} belongs to nothing"
                part.given.pop("tags", None)
                whole.given.setdefault(kind, []).append(part.given)
    for policy in take(side, "aws_ecr_lifecycle_policy"):
        repository, = (each for each in of(side, "aws_ecr_repository") if each.given["name"] == policy.given["repository"])
        repository.given["policy"] = policy.given["policy"]


def routes(side) -> None:
    association, table, route, subnet, endpoint, subnet_id, table_id, destination, gateways, tables = ROUTES[side.title]
    found: dict[str, dict] = {}
    members: dict[str, list] = {}
    for each in take(side, route):
        only(said(each.given), table_id, destination, *gateways, "tags")
        to = next(each.given[name] for name in gateways if each.given.get(name))
        found.setdefault(side.target(each.given[table_id]), {})[each.given[destination]] = to
    for each in take(side, association):
        only(said(each.given), table_id, subnet_id, "tags")
        label = side.target(each.given[table_id])
        owner(side, each.given[subnet_id]).given["routes"] = found.get(label, {})
        members.setdefault(label, []).append(each.given[subnet_id])
    for each in of(side, endpoint):
        each.given["subnets"] = [member for name in each.given.pop(tables) for member in members[side.target(name)]]
    for each in take(side, table):
        only(said(each.given), "vpc_id", "VpcId", "tags", "Tags")


def rules(side) -> None:
    for group in of(side, "AWS::EC2::SecurityGroup"):
        for name, kind in RULES.items():
            for index, rule in enumerate(group.given.pop(name, [])):
                given = {"GroupId": {"Ref": group.label}} | rule
                side.resources.append(Resource(group.module, kind, f"{group.label}.{name}.{index}", given, side))


def keyed(side) -> None:
    """Lists of keys and values, by their keys. A dot would be a step of a path."""
    for each in side.resources:
        for name in ("LoadBalancerAttributes", "TargetGroupAttributes"):
            if name in each.given:
                each.given[name] = {attribute["Key"].replace(".", "-"): attribute["Value"] for attribute in each.given[name]}


def secrets(side) -> None:
    """How the value of a secret is made, and who else receives it."""
    made: dict[str, Resource] = {}
    for version in take(side, "aws_secretsmanager_secret_version"):
        secret, source = owner(side, version.given["secret_id"]), side.source(version, "secret_string_wo")
        secret.given["generated"] = {name: side.whole[source][name] for name in side.configured[uncounted(source)]}
        secret.given["version"] = {name: value for name, value in version.given.items() if name not in ("secret_id", "secret_string_wo", "tags")}
        made[source] = secret
    for user in of(side, "aws_elasticache_user"):
        user.given["password"] = side.whole[made[side.source(user, "passwords_wo")].label]["arn"]
        del user.given["passwords_wo"]


def certificates(side) -> None:
    for each in take(side, "aws_acm_certificate_validation"):
        only(said(each.given), "validation_record_fqdns", "certificate_arn", "tags")
        record = owner(side, each.given["validation_record_fqdns"][0])
        # ACM makes it itself in CloudFormation.
        only(said(record.given), "name", "type", "ttl", "records", "zone_id", "allow_overwrite", "tags")
        owner(side, each.given["certificate_arn"]).given["validated_in"] = record.given["zone_id"]
        side.resources.remove(record)


def programs(side) -> None:
    """What Terraform runs where it runs itself. A resource for which it runs nothing is there for its lifecycle."""
    for each in of(side, "terraform_data"):
        if uncounted(each.label) in side.provisioned:
            each.given["uses"] = side.used(each)
            rest = {name: value for name, value in side.provisioned[uncounted(each.label)].items() if name != "environment"}
            each.given |= {name: value.get("references", value) for name, value in rest.items()}
        else:
            each.kind = "lifecycle"


def containers(side) -> None:
    for task in of(side, "aws_ecs_task_definition"):
        for each in json.loads(task.given.pop("container_definitions")):
            side.resources.append(Resource(task.module, "container", f"{task.label}.{each['name']}", container(each), side))
    for task in of(side, "AWS::ECS::TaskDefinition"):
        for each in task.given.pop("ContainerDefinitions"):
            given = container(lowered(each))
            side.resources.append(Resource(task.module, "container", f"{task.label}.{given['name']}", given, side))


def lowered(value: object) -> object:
    """With keys as the interface of ECS has them. Options of a log keep theirs."""
    if isinstance(value, dict) and not is_reference(value):
        return {name[0].lower() + name[1:]: each if name == "Options" else lowered(each) for name, each in value.items()}
    if isinstance(value, list):
        return [lowered(each) for each in value]
    return value


def container(given: dict) -> dict:
    """With what has a name under its name."""
    keys = {"environment": ("name", "value"), "secrets": ("name", "valueFrom")}
    found = given | {list_: {each[key]: each[value] for each in given.get(list_, [])} for list_, (key, value) in keys.items()}
    found["mountPoints"] = {each["containerPath"]: each for each in given.get("mountPoints", [])}
    found["portMappings"] = {str(each["containerPort"]): each for each in given.get("portMappings", [])}
    found["ulimits"] = {each["name"]: each for each in given.get("ulimits", [])}
    return found
