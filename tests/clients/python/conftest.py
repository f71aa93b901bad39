"""A server for each test, and clients that disconnect when it ends."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from realtime import AsyncRealtimeClient

from people import Person
from server import Server


@pytest_asyncio.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A running server, with the settings that the test's mark `settings` names as variables."""
    mark = request.node.get_closest_marker("settings")
    running = Server(mark.kwargs if mark else {})
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture
async def person(server: Server) -> AsyncIterator[Callable[..., Person]]:
    """Makes clients that receive every event named `hello` in a room, not joined yet."""
    clients: list[AsyncRealtimeClient] = []

    def make(topic: str, token: str | None = None, **config: Any) -> Person:
        client = AsyncRealtimeClient(server.url, token or server.token(), initial_backoff=0.1)
        clients.append(client)
        one = Person(client, client.channel(topic, {"config": config} if config else None))
        one.channel.on_broadcast("hello", one.received.put)
        return one

    yield make
    for client in clients:
        await client.close()
