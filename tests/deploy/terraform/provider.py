#!/usr/bin/env python3
"""Stands for the AWS provider of Terraform: its schema, computed values that are made up, and no network.

    SCHEMA=schema.json provider.py

Terraform starts it, and speaks version 6 of the protocol of providers with it. It plans as a provider does (what is computed and
not configured is unknown), applies by making up ids, ARNs and names, and renders policies. It refuses a value for what only the provider
computes; rules for values, such as names of TLS policies, it does not know. With ROLLED_BACK in the environment a service of ECS has
that task definition after each change, as after a rollback.
"""

import base64
import hashlib
import json
import os
import tempfile
from concurrent import futures

import grpc
import msgpack
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import _self_signed_cert

with open(os.environ["SCHEMA"], encoding="utf-8") as file:
    SCHEMA = json.load(file)
UNKNOWN = msgpack.ExtType(0, b"\x00")
# What the configuration of the provider has, once Terraform has sent it.
DEFAULT_TAGS: dict[str, str] = {}
NESTING = {kind: getattr(pb.Schema.NestedBlock, kind.upper()) for kind in ("single", "list", "set", "map")}
ACCOUNT = "123456789012"
# The configuration of the provider; each one of an alias is a process of its own.
PLACE = {"region": "eu-central-1"}


def block(schema: dict) -> pb.Schema.Block:
    found = pb.Schema.Block()
    for name, attribute in schema["attrs"].items():
        flags = {flag: attribute.get(flag, False) for flag in ("required", "optional", "computed")}
        found.attributes.append(pb.Schema.Attribute(name=name, type=json.dumps(attribute["type"]).encode(), **flags))
    for name, nested in schema["blocks"].items():
        found.block_types.append(pb.Schema.NestedBlock(
            type_name=name, block=block(nested["block"]), nesting=NESTING[nested["nesting"]],
            min_items=nested["min"], max_items=nested["max"]))
    return found


def whole(schema: dict) -> pb.Schema:
    return pb.Schema(version=0, block=block(schema))


def decoded(value: pb.DynamicValue) -> object:
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False)
    return json.loads(value.json) if value.json else None


def encoded(value: object) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=msgpack.packb(value, use_bin_type=True))


def is_unknown(value: object) -> bool:
    return isinstance(value, msgpack.ExtType)


def element(values: object, index: int) -> object:
    return values[index] if isinstance(values, list) and index < len(values) else None


def planned(schema: dict, config: dict | None, proposed: object, prior: dict | None) -> object:
    """What is computed and not configured keeps its value, and is unknown where it has none."""
    if proposed is None or is_unknown(proposed):
        return proposed
    found = dict(proposed)
    for name, attribute in schema["attrs"].items():
        if attribute.get("computed") and found.get(name) is None and (config or {}).get(name) is None:
            known = (prior or {}).get(name)
            found[name] = UNKNOWN if known is None else known
    if "tags_all" in schema["attrs"] and not is_unknown(found.get("tags")):
        found["tags_all"] = DEFAULT_TAGS | (found.get("tags") or {})
    for name, nested in schema["blocks"].items():
        value, configured, before = found.get(name), (config or {}).get(name), (prior or {}).get(name)
        if nested["nesting"] == "single":
            found[name] = planned(nested["block"], configured, value, before)
        elif isinstance(value, list):
            found[name] = [planned(nested["block"], element(configured, index), each, element(before, index))
                           for index, each in enumerate(value)]
    return found


def fixed(name: str) -> dict:
    region = PLACE["region"]
    return {
        "aws_caller_identity": {"account_id": ACCOUNT},
        "aws_region": {"name": region, "region": region, "id": region},
        "aws_route53_zone": {"name": "example.com"},
        "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com"},
        "aws_availability_zones": {"names": [f"{region}{zone}" for zone in "abc"]},
    }.get(name, {})


def made_up(kind: object, name: str, resource: str, seed: str) -> object:
    short = hashlib.sha256(f"{seed}/{resource}/{name}".encode()).hexdigest()[:12]
    bare = resource.removeprefix("aws_")
    if kind == "string":
        if name == "arn" or name.endswith("_arn"):
            return f"arn:aws:{bare.split('_')[0]}:{PLACE['region']}:{ACCOUNT}:{bare}/{short}"
        return {"region": PLACE["region"], "owner_id": ACCOUNT}.get(name, f"{bare.replace('_', '-')}-{short}")
    if kind in ("number", "bool", "dynamic"):
        return {"number": 1, "bool": False, "dynamic": None}[kind]
    if kind[0] == "object":
        return {key: made_up(inner, key, resource, seed) for key, inner in kind[1].items()}
    if kind[0] == "map":
        return {}
    return [made_up(kind[1], name, resource, seed)]


def filled(schema: dict, value: dict | None, resource: str, seed: str) -> dict | None:
    """The value with something in the place of everything that is unknown."""
    if value is None:
        return None
    found = dict(value)
    for name, attribute in schema["attrs"].items():
        if is_unknown(found.get(name)):
            found[name] = made_up(attribute["type"], name, resource, seed)
    for name, nested in schema["blocks"].items():
        if nested["nesting"] == "single":
            found[name] = filled(nested["block"], found.get(name), resource, seed)
        elif isinstance(found.get(name), list):
            found[name] = [filled(nested["block"], each, resource, seed) for each in found[name]]
    return found


def statement(given: dict) -> dict:
    found = {"Effect": given.get("effect") or "Allow"}
    if given.get("sid"):
        found["Sid"] = given["sid"]
    for name, key in (("actions", "Action"), ("resources", "Resource")):
        if given.get(name):
            found[key] = sorted(given[name])
    for principal in given.get("principals") or []:
        found.setdefault("Principal", {})[principal["type"]] = sorted(principal["identifiers"])
    for condition in given.get("condition") or []:
        found.setdefault("Condition", {}).setdefault(condition["test"], {})[condition["variable"]] = condition["values"]
    return found


def policy(config: dict) -> str:
    sources = [json.loads(each)["Statement"] for each in config.get("source_policy_documents") or []]
    statements = [each for source in sources for each in source] + [statement(each) for each in config.get("statement") or []]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def data_source(name: str, config: dict) -> dict:
    schema, seed = SCHEMA["data_sources"][name], json.dumps(config, default=str, sort_keys=True)
    found = filled(schema, planned(schema, config, config, None), name, seed) | fixed(name)
    if name == "aws_iam_policy_document":
        found["json"] = found["minified_json"] = policy(config)
    return found


def computed_only(schema: dict, config: dict | None, path: str = ""):
    """What is configured although only the provider computes it."""
    for name, attribute in schema["attrs"].items():
        if (config or {}).get(name) is not None and set(attribute) == {"type", "computed"}:
            yield path + name
    for name, nested in schema["blocks"].items():
        value = (config or {}).get(name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from computed_only(nested["block"], each, f"{path}{name}.")


def checked(message: type, kind: str, request: object) -> object:
    response = message.Response()
    for path in computed_only(SCHEMA[kind][request.type_name], decoded(request.config)):
        response.diagnostics.append(pb.Diagnostic(
            severity=pb.Diagnostic.ERROR, summary="Value for a computed attribute", detail=f"{request.type_name}: {path}"))
    return response


class Provider(rpc.ProviderServicer):
    """The calls of Terraform, under the names of the protocol."""

    def GetMetadata(self, request, context):
        return pb.GetMetadata.Response(
            server_capabilities=pb.ServerCapabilities(get_provider_schema_optional=True),
            resources=[pb.GetMetadata.ResourceMetadata(type_name=name) for name in SCHEMA["resources"]],
            data_sources=[pb.GetMetadata.DataSourceMetadata(type_name=name) for name in SCHEMA["data_sources"]])

    def GetProviderSchema(self, request, context):
        response = pb.GetProviderSchema.Response(
            provider=whole(SCHEMA["provider"]), server_capabilities=pb.ServerCapabilities(get_provider_schema_optional=True))
        for name, schema in SCHEMA["resources"].items():
            response.resource_schemas[name].CopyFrom(whole(schema))
        for name, schema in SCHEMA["data_sources"].items():
            response.data_source_schemas[name].CopyFrom(whole(schema))
        return response

    def GetFunctions(self, request, context):
        return pb.GetFunctions.Response()

    def ValidateProviderConfig(self, request, context):
        return pb.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request, context):
        config = decoded(request.config)
        PLACE["region"] = config.get("region") or PLACE["region"]
        for block in config.get("default_tags") or []:
            DEFAULT_TAGS.update(block.get("tags") or {})
        return pb.ConfigureProvider.Response()

    def ValidateResourceConfig(self, request, context):
        return checked(pb.ValidateResourceConfig, "resources", request)

    def ValidateDataResourceConfig(self, request, context):
        return checked(pb.ValidateDataResourceConfig, "data_sources", request)

    def UpgradeResourceState(self, request, context):
        return pb.UpgradeResourceState.Response(upgraded_state=pb.DynamicValue(json=request.raw_state.json))

    def ReadResource(self, request, context):
        return pb.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request, context):
        proposed = decoded(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        schema = SCHEMA["resources"][request.type_name]
        plan = planned(schema, decoded(request.config), proposed, decoded(request.prior_state))
        return pb.PlanResourceChange.Response(planned_state=encoded(plan), legacy_type_system=True)

    def ApplyResourceChange(self, request, context):
        plan = decoded(request.planned_state)
        if plan is None:
            return pb.ApplyResourceChange.Response(new_state=request.planned_state)
        seed = json.dumps(decoded(request.config), default=str, sort_keys=True)
        applied = filled(SCHEMA["resources"][request.type_name], plan, request.type_name, seed)
        if request.type_name == "aws_ecr_repository":
            applied["repository_url"] = f"{ACCOUNT}.dkr.ecr.{PLACE['region']}.amazonaws.com/{applied['name']}"
        if request.type_name == "aws_ecs_service" and "ROLLED_BACK" in os.environ:
            applied["task_definition"] = os.environ["ROLLED_BACK"]
        return pb.ApplyResourceChange.Response(new_state=encoded(applied), legacy_type_system=True)

    def ReadDataSource(self, request, context):
        return pb.ReadDataSource.Response(state=encoded(data_source(request.type_name, decoded(request.config))))

    def StopProvider(self, request, context):
        return pb.StopProvider.Response()


class Controller(controller_rpc.GRPCControllerServicer):
    """How Terraform ends the process."""

    def __init__(self) -> None:
        self.is_over = False

    def Shutdown(self, request, context):
        self.is_over = True
        return controller.Empty()


class Stdio(stdio_rpc.GRPCStdioServicer):
    """Terraform asks for the output of the provider, of which there is none."""

    def StreamStdio(self, request, context):
        return iter([])


def main() -> None:
    server, end = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)]), Controller()
    rpc.add_ProviderServicer_to_server(Provider(), server)
    controller_rpc.add_GRPCControllerServicer_to_server(end, server)
    stdio_rpc.add_GRPCStdioServicer_to_server(Stdio(), server)
    with tempfile.TemporaryDirectory() as folder:
        certificate, credentials = _self_signed_cert()
        server.add_secure_port(f"unix://{folder}/socket", credentials)
        server.start()
        text = base64.b64encode(certificate).decode().rstrip("=")
        print(f"1|6|unix|{folder}/socket|grpc|{text}", flush=True)
        while not end.is_over and server.wait_for_termination(0.05):
            pass
        server.stop(0.2)


main()
