"""What the CDK app has synthesised, as resources whose references are roles.

The functions of CloudFormation are computed here for one account and region; what only AWS knows stays a reference. Resources that
CloudFormation has as one and Terraform as several, or the other way round, are brought to one form in shapes.py.
"""

import json
import re
from pathlib import Path

from values import Resource

PSEUDO = {"AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
          "AWS::NoValue": None}
# What identifies a resource, whichever of these a reference uses.
IDENTITY = {"Arn", "Id", "Name", "GroupId", "VpcId", "SubnetId", "InternetGatewayId", "NatGatewayId", "AllocationId", "TopicArn", "KeyId",
            "TargetGroupArn", "LoadBalancerArn", "ListenerArn", "RouteTableId", "TaskDefinitionArn", "TopicName", "DashboardName",
            "AcceleratorArn"}
# Attributes under the names that Terraform has for them.
ATTRIBUTES = {
    "CanonicalHostedZoneID": "zone_id", "DNSName": "dns_name", "DnsName": "dns_name", "Endpoint.Address": "endpoint",
    "LoadBalancerFullName": "arn_suffix", "TargetGroupFullName": "arn_suffix",
    "MasterUserSecret.SecretArn": "master_user_secret.secret_arn",
    "PrimaryEndPoint.Address": "primary_endpoint_address",
}
# Sections that make no resource. The rule is about the version of the CDK in the account.
UNREAD = ("Description", "Rules")
# Attributes that are properties.
PROPERTIES = {"CidrBlock": "CidrBlock", "Endpoint.Port": "Port", "PrimaryEndPoint.Port": "Port"}
# Properties that are what `Ref` is, where the template gives them.
NAMES = ("Name", "ClusterName", "LogGroupName", "DBSubnetGroupName", "CacheSubnetGroupName", "CacheParameterGroupName", "UserId", "UserGroupId",
         "DBClusterIdentifier", "ReplicationGroupId", "RepositoryName", "ServiceName", "TopicName", "DashboardName", "Family",
         "DBClusterParameterGroupName", "AlarmName")


def synthesised(folder: Path) -> dict[str, dict]:
    """The templates of all stacks as one."""
    whole: dict[str, dict] = {"Resources": {}, "Parameters": {}, "Outputs": {}, "Conditions": {}}
    files = sorted(folder.glob("*.template.json"))
    assert files, f"there is no template in {folder}"
    for file in files:
        for section, found in json.loads(file.read_text()).items():
            assert section in whole or section in UNREAD, f"{section} of a template is not compared"
            if section in whole:
                twice = {*whole[section]} & {*found} - {"BootstrapVersion"}
                assert not twice, f"two stacks have {twice}"
                whole[section] |= found
    return whole


def fields(template: dict[str, dict]) -> dict[str, object]:
    """What a resource has beside its properties and its order, such as a condition, and the conditions of the template themselves."""
    known = {"Type", "Properties", "Metadata", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy"}
    found = {f"{name}.{key}": value for name, each in template["Resources"].items() for key, value in each.items() if key not in known}
    found |= {f"{name}.{key}": value for name, each in template["Outputs"].items() for key, value in each.items() if key not in ("Value", "Description")}
    return found | template.get("Conditions", {})


class Template:
    title = "CDK"

    def __init__(self, template: dict[str, dict]) -> None:
        self.template = template
        self.roles: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.fields = fields(template)
        # Logical id → the constructs around it, without those that the CDK calls Resource or Default.
        self.paths: dict[str, str] = {}
        self.resources = [self.resource(name, each) for name, each in self.template["Resources"].items()]
        # As they are before those that are part of another one are taken away.
        self.all = tuple(self.resources)

    def resource(self, name: str, each: dict) -> Resource:
        given = dict(each.get("Properties", {}))
        given |= {key: each[key] for key in ("DeletionPolicy", "UpdateReplacePolicy") if key in each}
        path = each.get("Metadata", {}).get("aws:cdk:path", name).split("/")
        self.paths[name] = "/".join(part for part in path[2:] if part not in ("Resource", "Default"))
        module = path[1].lower() if len(path) > 2 else "stack"
        found = Resource(module, each["Type"], name, given, self)
        found.after = each.get("DependsOn", [])
        return found

    def named(self, resource: Resource, role: str) -> None:
        """From now on what identifies the resource is `{role}`, and other attributes are `{role.attribute}`."""
        self.roles.setdefault(resource.label, role)
        name = next((given for key in NAMES if isinstance(given := resource.given.get(key), str)), None)
        if name:
            self.names["{%s}" % role] = name

    @property
    def outputs(self) -> dict[str, object]:
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): self.resolved(each["Value"]) for name, each in self.template["Outputs"].items()}

    def short(self, resource: Resource) -> str:
        """Its name among those of its kind: that of a container, or that of the constructs, without what says that it is a role or a function."""
        return resource.given.get("name") or re.sub(r"/?(Role|Function)$", "", self.paths[resource.label]).lower()

    def target(self, value: object) -> str | None:
        """The resource that a reference leads to, by its logical id."""
        if isinstance(value, dict) and "Ref" in value:
            return value["Ref"]
        if isinstance(value, dict) and "Fn::GetAtt" in value:
            return attribute(value["Fn::GetAtt"])[0]
        return None

    def resolved(self, value: object) -> object:
        if isinstance(value, list):
            return [found for each in value if (found := self.resolved(each)) is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return getattr(self, name.removeprefix("Fn::").lower())(argument)
        return {key: self.resolved(each) for key, each in value.items()}

    def ref(self, name: str) -> object:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.template["Parameters"]:
            return self.template["Parameters"][name].get("Default", f"parameter {name}")
        return "{%s}" % self.roles.get(name, name)

    def getatt(self, argument: object) -> object:
        name, wanted = attribute(argument)
        properties, kind = self.template["Resources"][name].get("Properties", {}), self.template["Resources"][name]["Type"]
        if wanted in PROPERTIES and PROPERTIES[wanted] in properties:
            return self.resolved(properties[PROPERTIES[wanted]])
        if wanted == "RepositoryUri":
            return f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/{self.resolved(properties['RepositoryName'])}"
        role = self.roles.get(name, name)
        if wanted in IDENTITY:
            # With the streams of the group, unlike that of Terraform.
            return "{%s}" % role + (":*" if kind == "AWS::Logs::LogGroup" else "")
        return "{%s.%s}" % (role, ATTRIBUTES.get(wanted, wanted))

    def join(self, argument: list) -> str:
        return argument[0].join(str(each) for each in self.resolved(argument[1]))

    def sub(self, argument: object) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument

        def value(match: re.Match) -> str:
            name = match[1]
            if name in given:
                return str(self.resolved(given[name]))
            return str(self.getatt(name) if "." in name else self.ref(name))
        return re.sub(r"\$\{([^!}]+)\}", value, text)

    def select(self, argument: list) -> object:
        return self.resolved(argument[1])[int(argument[0])]

    def split(self, argument: list) -> list:
        return self.resolved(argument[1]).split(argument[0])

    def getazs(self, argument: object) -> list:
        return [f"{self.resolved(argument) or PSEUDO['AWS::Region']}{zone}" for zone in "abc"]

    def tojsonstring(self, argument: object) -> str:
        return json.dumps(self.resolved(argument))

    def base64(self, argument: object) -> object:
        return self.resolved(argument)


def attribute(argument: object) -> tuple[str, str]:
    name, wanted = argument.split(".", 1) if isinstance(argument, str) else argument
    return name, wanted
