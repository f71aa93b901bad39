"""A real realtime-server process on a free port of this machine, and tokens that it accepts.

The program is $REALTIME_SERVER, or the one that `cargo build` has built. It is ready when /health responds.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

BUILT = Path(__file__).resolve().parents[3] / "target/debug/realtime-server"
PROGRAM = os.environ.get("REALTIME_SERVER", str(BUILT))

TIMEOUT_SECONDS = 30
"""The timeout of every single wait."""


class Server:
    """One server, which may be stopped and started again on its port."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.secret = secrets.token_urlsafe(48)
        # Removed with the object. Many servers may run at once, each with a data directory of its own.
        self._folder = tempfile.TemporaryDirectory(prefix="realtime-server-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The URL that an application passes to the client."""
        return f"ws://127.0.0.1:{self.port}/realtime/v1"

    @property
    def origin(self) -> str:
        """Its URL for plain HTTP."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts it and waits until it is healthy."""
        settings = {**self.settings, "JWT_SECRET": self.secret, "PORT": str(self.port), "HOST": "127.0.0.1"}
        settings["REALTIME__SERVER__DATA_DIR"] = self._folder.name
        # No load balancer has to take the server out of rotation, and tests do not wait for a drain.
        settings |= {"REALTIME__SERVER__DRAIN_DELAY": "0s", "REALTIME__SERVER__DRAIN_TIMEOUT": "0s"}
        self.process = await asyncio.create_subprocess_exec(PROGRAM, "serve", env={**os.environ, **settings})
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await asyncio.to_thread(self._is_healthy):
                assert self.process.returncode is None, "the server ended at once"
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Stops it gracefully; connections are closed with 1012."""
        if self.process and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def restart(self) -> None:
        """Stops it and starts it again, same port, same secret."""
        await self.stop()
        await self.start()

    def token(self, lifetime: int = 3600, **claims: object) -> str:
        """A user's token with a lifetime in seconds."""
        payload = {
            "role": "authenticated",
            "aud": "authenticated",
            "exp": int(time.time()) + lifetime,
            **claims,
        }
        return sign(payload, self.secret)

    def broadcast(self, topic: str, event: str, payload: dict) -> int:
        """Sends over HTTP, as a back end would. Returns the status."""
        body = {"messages": [{"topic": topic, "event": event, "payload": payload}]}
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        address = f"{self.origin}/realtime/v1/api/broadcast"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return response.status

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.origin}/health", timeout=1) as response:
                return response.status == 200
        except OSError:
            return False


def sign(claims: Mapping[str, object], secret: str) -> str:
    """A token with exactly these claims."""
    parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.new(secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _base64(signature)])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
