"""The schema that editors use for settings files, checked with an independent validator.

Three results must agree for each case: the list below, `realtime-server config check`, and the schema, under the draft
it names and under draft 7, which Taplo (Even Better TOML) uses.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest

from server import PROGRAM

CONFIG = Path(__file__).resolve().parents[3] / "config"
STARTERS = ["production.toml", "development.toml"]
FORMATS = jsonschema.FormatChecker()

GOOD = """
server.idle_timeout = "2m"
server.idle_timeout = "1h 30m"
server.idle_timeout = "1h30m 5 secs"
server.idle_timeout = " 90s "
server.idle_timeout = "0.5h"
server.drain_delay = "0s"
presence.coalesce = "100µs"
server.max_frame_size = 5000000
server.max_frame_size = "8 MiB"
server.max_frame_size = "5.5mb"
server.max_frame_size = " 4m "
server.max_frame_size = "4194304"
server.host = "0.0.0.0"
server.host = "::"
server.host = "fe80::1"
server.host = "::ffff:10.0.0.1"
server.proxy_protocol_from = []
server.proxy_protocol_from = ["10.0.0.0/8", "192.168.1.1", "::1", "2001:db8::/32"]
server.public_url = "wss://realtime.example.com/path"
server.public_url = "HTTPS://realtime.example.com"
server.public_url = ""
server.default_tenant = "acme-2"
server.max_connections_per_address = 5
server.strict_host = true
bus.redis_url = "redis://:password@redis:6379/0"
bus.redis_url = "rediss://[::1]"
auth.jwks_url = "https://idp.example/jwks?key=k"
auth.jwt_jwks = '{"keys": []}'
auth.jwt_secret = " any text, as it is "
auth.claim_validators = { aal = "aal2", level = 2 }
limits.max_joins_per_second = 4294967295
telemetry.log_level = "warn"
telemetry.log_modules = { "realtime_server::edge" = "debug" }
tenants.acme.suspended = true
tenants.a_b-2.limits.max_concurrent_users = 5
tenants.acme.auth.leeway = "5s"
""".strip().splitlines()

BAD = """
server.idle_timeout = 120
server.idle_timeout = "120"
server.idle_timeout = "30 bananas"
server.idle_timeout = "-5s"
server.idle_timeout = "s"
server.idle_timeout = ""
server.idle_timeout = "0s"
server.idle_timeout = "0m 0s"
server.max_frame_size = "big"
server.max_frame_size = "5 bananas"
server.max_frame_size = "-5 MB"
server.max_frame_size = 5.5
server.max_frame_size = 100
server.max_frame_size = 2000000000
server.max_frame_size = "0"
server.host = "localhost"
server.host = "256.0.0.1"
server.host = "0.0.0"
server.host = "0.0.0.0:8080"
server.host = "[::]"
server.host = "::1::2"
server.host = ""
server.port = 65536
server.port = -1
server.port = "8080"
server.proxy_protocol_from = "10.0.0.0/8"
server.proxy_protocol_from = ["10.0.0.0/33"]
server.proxy_protocol_from = ["::/129"]
server.proxy_protocol_from = ["balancer"]
server.public_url = "realtime.example.com"
server.public_url = "ftp://realtime.example.com"
server.public_url = "https://"
server.public_url = "https://a b"
server.default_tenant = "Acme"
server.default_tenant = ""
server.max_connections_per_address = 0
server.hots = "::"
bus.redis_url = "redis:6379"
bus.redis_url = "http://redis"
auth.jwks_url = "redis://redis"
auth.jwt_jwks = "https://idp.example/jwks"
auth.jwt_secret = 5
limits.max_joins_per_second = 4294967296
limits.max_joins_per_second = 0
telemetry.log_level = "warning"
telemetry.log_modules = { "realtime-server" = "debug" }
telemetry.log_modules = { hub = "loud" }
tenants.Acme.suspended = true
tenants."a.b".suspended = true
tenants.-a.suspended = true
tenants.acme.suspend = true
tenants.acme.auth.leeway = "5"
tenants.acme = true
""".strip().splitlines()

LONG_ID = f"tenants.{'x' * 64}.suspended = true"
GOOD.append(LONG_ID.replace("xx", "x", 1))
BAD.append(LONG_ID)


def run(*arguments: str, folder: Path | None = None) -> str:
    """The program's stdout; its exit code is ignored."""
    return subprocess.run([PROGRAM, "config", *arguments], cwd=folder, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def validators() -> list[jsonschema.protocols.Validator]:
    """The schema that the program prints, under the draft it names and under draft 7."""
    schema = json.loads(run("schema"))
    latest = jsonschema.validators.validator_for(schema)
    assert latest is jsonschema.Draft202012Validator
    kinds = [latest, jsonschema.Draft7Validator]
    for kind in kinds:
        kind.check_schema(schema)
    return [kind(schema, format_checker=FORMATS) for kind in kinds]


def is_good(validators: list[jsonschema.protocols.Validator], text: str) -> bool:
    """The result of all validators, which must agree."""
    results = {validator.is_valid(tomllib.loads(text)) for validator in validators}
    assert len(results) == 1, f"{text}: the drafts differ"
    return results.pop()


def test_the_schema_and_the_server_agree(validators, tmp_path: Path) -> None:
    """For every case, in a file of its own."""
    files = {}
    for number, text in enumerate(GOOD + BAD):
        file = tmp_path / f"{number}.toml"
        file.write_text(text + "\n")
        files[file.name] = text
    answer = run("check", *files, folder=tmp_path)
    accepted = {files[name] for name in re.findall(r"^(\d+\.toml): nothing is wrong$", answer, re.M)}
    assert [text for text in GOOD if text not in accepted] == [], "the server refuses"
    assert [text for text in BAD if text in accepted] == [], "the server accepts"
    assert [text for text in GOOD if not is_good(validators, text)] == [], "the schema refuses"
    assert [text for text in BAD if is_good(validators, text)] == [], "the schema accepts"


def test_patterns_suffice_without_formats(validators) -> None:
    """Taplo ignores formats under the newest draft; a host name is refused nevertheless."""
    plain = type(validators[0])(validators[0].schema)
    for text in ['server.host = "localhost"', 'server.host = "1.2.3"', 'server.host = "1.2.3.4:5"']:
        assert not plain.is_valid(tomllib.loads(text)), text


@pytest.mark.parametrize("name", STARTERS)
def test_a_starter_that_is_copied_finds_its_schema(name: str, tmp_path: Path, validators) -> None:
    """With the schema beside it, or after the command that the starter itself names."""
    original = (CONFIG / name).read_text()
    directive = re.match(r"#:schema (\S+)\n", original)
    assert directive, "the first line names the schema, as Taplo and Even Better TOML read it"
    assert json.loads((CONFIG / directive[1]).read_text()) == validators[0].schema

    copy = Path(shutil.copy(CONFIG / name, tmp_path / "config.toml"))
    command = re.search(r"realtime-server config (.+?) > (\S+)$", original, re.M)
    assert command and (tmp_path / command[2]).resolve() == (tmp_path / directive[1]).resolve()
    (tmp_path / command[2]).write_text(run(*command[1].split()))

    schema = json.loads((copy.parent / directive[1]).read_text())
    validator = jsonschema.validators.validator_for(schema)(schema, format_checker=FORMATS)
    validator.validate(tomllib.loads(original))
    # The values that it suggests, and typing errors in them.
    suggested = re.sub(r"^# (\[.*\]|[a-z_]+ = .*)$", r"\1", original, flags=re.M)
    validator.validate(tomllib.loads(suggested))
    for was, becomes in [("port = 8080", "prot = 8080"), ('log_level = "', 'log_level = "very '), ("[server]", "[sever]")]:
        assert was in original
        assert not validator.is_valid(tomllib.loads(original.replace(was, becomes))), becomes


def test_an_image_has_the_schema_where_its_configuration_looks_for_it() -> None:
    """Both are copied into one directory; the tests of the container check the image itself."""
    dockerfile = (CONFIG.parent / "Dockerfile").read_text()
    assert "COPY config/production.toml /etc/realtime/config.toml\n" in dockerfile
    assert "COPY config/schema.json /etc/realtime/schema.json\n" in dockerfile
    assert "!config/schema.json" in (CONFIG.parent / ".dockerignore").read_text().splitlines()
