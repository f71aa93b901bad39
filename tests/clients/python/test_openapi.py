"""The OpenAPI document of the server: valid by an independent validator, and true of the responses to generated requests.

Schemathesis writes requests from the document, valid and invalid ones, sends them to a running server, and compares the
responses with the document. $OPENAPI_SECONDS is how long it goes on with random requests, others every time; without it they
are a few, and the same in each run.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from server import TIMEOUT_SECONDS, Server, sign

OPERATORS = "the operators' secret, of thirty-two bytes"

SETTINGS = {
    "API_JWT_SECRET": OPERATORS,
    # What is tested are responses, not limits.
    "REALTIME__SERVER__CONNECT_ERROR_BACKOFF": "0s",
    "REALTIME__SERVER__MAX_UNVERIFIED_REQUESTS_PER_SECOND": "1000000",
    "REALTIME__LIMITS__MAX_EVENTS_PER_SECOND": "1000000",
    "REALTIME__LIMITS__MAX_JOINS_PER_SECOND": "1000000",
    "REALTIME__TELEMETRY__LOG_LEVEL": "error",
}

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]

SECONDS = os.environ.get("OPENAPI_SECONDS")
AMOUNT = ["--max-time", SECONDS] if SECONDS else ["--max-examples", "10", "--seed", "1"]


@pytest.fixture(scope="module")
def described() -> Iterator[Server]:
    """A server for all tests of this file."""
    running = Server(SETTINGS)
    with asyncio.Runner() as runner:
        runner.run(running.start())
        yield running
        runner.run(running.stop())


@pytest.fixture(scope="module")
def document(described: Server) -> dict[str, Any]:
    """What it says of itself."""
    with urllib.request.urlopen(f"{described.origin}/api/openapi", timeout=TIMEOUT_SECONDS) as response:
        return json.load(response)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """By the schema of OpenAPI 3.1, and by rules that no schema has, such as that ids are unique."""
    errors = [f"{list(error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []


def run_schemathesis(server: Server, folder: Path, tokens: dict[str, str]) -> None:
    """Tests all operations with these tokens, by the security scheme that takes them."""
    schemes = "".join(f'[auth.openapi.{name}]\nbearer = "{token}"\n' for name, token in tokens.items())
    config = folder / "schemathesis.toml"
    config.write_text(schemes)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    # An HTTP client would send its next request over the WebSocket that a complete handshake opens.
    incomplete = ["--header", "upgrade: another-protocol"]
    options = ["--checks", ",".join(CHECKS), "--continue-on-failure", "--warnings", "off", *incomplete, *AMOUNT]
    command += [f"{server.origin}/api/openapi", "--url", server.origin, *options]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60 + 2 * int(SECONDS or 0))
    assert run.returncode == 0, run.stdout + run.stderr


def test_responses_are_as_the_document_says(described: Server, tmp_path: Path) -> None:
    """To requests with tokens that their operations accept."""
    operator = sign({"exp": int(time.time()) + 3600}, OPERATORS)
    headers = {"authorization": f"Bearer {operator}"}
    tenants = urllib.request.Request(f"{described.origin}/api/tenants", headers=headers)
    assert urllib.request.urlopen(tenants, timeout=TIMEOUT_SECONDS).status == 200
    # A backend may do all that a user may, and get tokens for users.
    backend = described.token(role="service_role")
    run_schemathesis(described, tmp_path, {"operatorToken": operator, "tenantToken": backend})


def test_refusals_are_as_the_document_says(described: Server, tmp_path: Path) -> None:
    """To requests without a token, or with one that is none."""
    run_schemathesis(described, tmp_path, {})
