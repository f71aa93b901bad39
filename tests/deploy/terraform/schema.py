#!/usr/bin/env python3
"""Writes the schema of the AWS provider, of the types that a folder of Terraform names, as JSON for provider.py.

    schema.py WHEEL FOLDER OUTPUT

The wheel has bindings that were generated from the provider's schema, as JavaScript. What each attribute is stands in a comment
above it, its type in its getter, the nesting of a block in the function that writes it, and that it is a block in the
declarations. Lost are `sensitive`, `write_only`, `deprecated`, and numbers of blocks above one.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{(.*?)^\}", re.S | re.M)
ATTRIBUTE = re.compile(
    r"^    // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=^    // \w+ - computed:|^    // =====|\Z)",
    re.S | re.M,
)
FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(.*?\n(.*?)^\}", re.S | re.M)
WRITTEN = re.compile(
    r"^ {8,12}(\w+): \{\n\s+value: .*\n\s+isBlock: (\w+),\n\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\"", re.M
)
INTERFACE = re.compile(r"^export interface (\w+)(?: extends [\w.]+)? \{(.*?)^\}", re.S | re.M)
TOP = {"TerraformResource", "TerraformDataSource", "TerraformProvider"}
GETTERS = {
    "getStringAttribute": "string", "getNumberAttribute": "number", "getBooleanAttribute": "bool",
    "getStringMapAttribute": ["map", "string"], "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"], "getNumberListAttribute": ["list", "number"], "getListAttribute": ["list", "string"],
}
STORED = {
    "stringMapMap": ["map", ["map", "string"]], "stringListList": ["list", ["list", "string"]],
    "stringMapList": ["list", ["map", "string"]], "stringListMap": ["map", ["list", "string"]],
}
# Of the provider itself, whose attributes have no getters.
WRITTEN_AS = {
    "string": "string", "number": "number", "boolean": "bool", "stringMap": ["map", "string"], "stringList": ["list", "string"],
}
MAPS = {"StringMapList": ["list", ["map", "string"]], "BooleanMap": ["map", "bool"], "NumberMap": ["map", "number"]}
NESTING = {"list": "list", "set": "set", "map": "map", "struct": "single"}


class Bindings:
    """The classes of one type of the provider."""

    def __init__(self, code: str, declarations: str) -> None:
        self.classes = {name: (base, body) for name, base, body in CLASS.findall(code)}
        self.functions = {name: self.written(body) for name, body in FUNCTION.findall(code)}
        self.blocks = {
            name: set(re.findall(r"^\s*\* (\w+) block\s*$", body, re.M)) for name, body in INTERFACE.findall(declarations)
        }

    @staticmethod
    def written(body: str) -> dict:
        return {name: (kind, stored) for name, _, kind, stored in WRITTEN.findall(body)}

    def top(self) -> str:
        return next(name for name, (base, _) in self.classes.items() if base in TOP)

    def schema(self, name: str) -> dict:
        base, body = self.classes[name]
        if base in TOP:
            written = self.written(body[body.find("synthesizeHclAttributes"):])
            blocks = self.blocks.get(name + "Config", set())
        else:
            stem = name.removesuffix("OutputReference")
            written = self.functions.get(stem[0].lower() + stem[1:], {})
            blocks = self.blocks.get(stem, set())
        found: dict = {"attrs": {}, "blocks": {}}
        for attribute, computed, optional, required, code in ATTRIBUTE.findall(body):
            flags = {"computed": computed, "optional": optional, "required": required}
            flags = {flag: True for flag, value in flags.items() if value == "true"} or {"optional": True}
            nested = self.nested(attribute, code, written)
            if base == "TerraformProvider":
                found["blocks" if attribute in blocks else "attrs"][attribute] = self.of_provider(name, attribute, written)
            elif nested and attribute in blocks:
                inner, kind, most = nested
                least = 1 if required == "true" else 0
                found["blocks"][attribute] = {
                    "nesting": NESTING[kind], "min": least, "max": most if kind in ("list", "set") else 0, "block": self.schema(inner),
                }
            else:
                kind = self.nested_type(nested) if nested else self.simple_type(attribute, code, written)
                found["attrs"][attribute] = {"type": kind} | flags
        return found

    def of_provider(self, name: str, attribute: str, written: dict) -> dict:
        """A block of the provider is known by the function that writes it."""
        if attribute not in self.blocks[name + "Config"]:
            return {"type": WRITTEN_AS.get(written[attribute][1], "dynamic"), "optional": True}
        stem = name[0].lower() + name[1:] + "".join(part.capitalize() for part in attribute.split("_"))
        inner = {key: {"type": WRITTEN_AS.get(stored, "dynamic"), "optional": True} for key, (_, stored) in self.functions[stem].items()}
        return {"nesting": "list", "min": 0, "max": 0, "block": {"attrs": inner, "blocks": {}}}

    def nested(self, attribute: str, code: str, written: dict) -> tuple[str, str, int] | None:
        """Of an attribute with a class of its own: that of one element, how elements are held, and how many there may be (0: any)."""
        match = re.search(rf'new (\w+)\(this, "{attribute}"(?:, (true|false))?\)', code)
        if not match or match[1] not in self.classes:
            return None
        name, base = match[1], self.classes[match[1]][0]
        if base == "ComplexList":
            return name.removesuffix("List") + "OutputReference", "set" if match[2] == "true" else "list", 0
        if base == "ComplexMap":
            return name.removesuffix("Map") + "OutputReference", "map", 0
        return name, written[attribute][0] if attribute in written else "list", 1

    def nested_type(self, nested: tuple[str, str, int]) -> list:
        inner, kind, _ = nested
        found = object_type(self.schema(inner))
        return found if kind == "struct" else [kind, found]

    @staticmethod
    def simple_type(attribute: str, code: str, written: dict) -> str | list:
        if attribute in written and written[attribute][1] in STORED:
            return STORED[written[attribute][1]]
        match = re.search(rf'new cdktn\.(\w+)\(this, "{attribute}"', code)
        if match:
            return MAPS.get(match[1], ["map", "string"])
        match = re.search(rf"this\.(get\w+)\('{attribute}'\)", code)
        kind = GETTERS.get(match[1], "dynamic") if match else "dynamic"
        return ["set", kind[1]] if isinstance(kind, list) and kind[0] == "list" and "Fn.tolist" in code else kind


def object_type(schema: dict) -> list:
    kinds = {name: attribute["type"] for name, attribute in schema["attrs"].items()}
    kinds |= {name: [block["nesting"], object_type(block["block"])] for name, block in schema["blocks"].items()}
    return ["object", kinds]


def bindings(wheel: str) -> dict[str, dict[str, str]]:
    """Folder of the bindings → index.js and index.d.ts."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        archive = io.BytesIO(outer.read(name))
    found: dict[str, dict[str, str]] = {}
    with tarfile.open(fileobj=archive, mode="r:gz") as inner:
        for member in inner:
            match = re.fullmatch(r"package/lib/([\w-]+)/(index\.js|index\.d\.ts)", member.name)
            if match:
                text = inner.extractfile(member).read().decode()
                found.setdefault(match[1], {})[match[2]] = text.split("\n//# sourceMappingURL")[0]
    return found


def named(folder: str) -> set[str]:
    """The types that the folder has resources and data sources of, these with `data.` before them."""
    found = set()
    for file in Path(folder).rglob("*.tf"):
        for kind, name in re.findall(r'^(resource|data) "(aws_\w+)"', file.read_text(), re.M):
            found.add(name if kind == "resource" else f"data.{name}")
    return found


def main() -> None:
    wheel, folder, output = sys.argv[1:]
    wanted = named(folder)
    found: dict = {"resources": {}, "data_sources": {}}
    for place, files in bindings(wheel).items():
        code = files["index.js"]
        if place == "provider":
            provider = Bindings(code, files["index.d.ts"])
            found["provider"] = provider.schema(provider.top())
            found["version"] = re.search(r"providerVersion: '([\d.]+)'", code)[1]
            continue
        kind = re.search(r'static tfResourceType = "(\w+)"', code)
        is_data = place.startswith("data-")
        # Resources that leave nothing in a state have names of others.
        if kind and not place.startswith("ephemeral-") and (f"data.{kind[1]}" if is_data else kind[1]) in wanted:
            of_type = Bindings(code, files["index.d.ts"])
            found["data_sources" if is_data else "resources"][kind[1]] = of_type.schema(of_type.top())
    Path(output).write_text(json.dumps(found))
    print(f"provider {found['version']}: {len(found['resources'])} resources, {len(found['data_sources'])} data sources")


main()
