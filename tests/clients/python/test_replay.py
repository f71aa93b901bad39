"""Earlier messages with the Python client: of a private room, and of a public one that keeps its broadcasts."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from realtime import RealtimeSubscribeStates

from postgres import Postgres
from server import PROGRAM, Server


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest_asyncio.fixture
async def server(postgres: Postgres) -> AsyncIterator[Server]:
    """A server with a database whose rooms everyone may read, and with rooms that keep their broadcasts."""
    settings = {
        "REALTIME__TENANTS__DEFAULT__DATABASE__URL": postgres.url,
        "REALTIME__BROADCAST__HISTORY__ROOMS": '["chat:*"]',
    }
    migrate = [PROGRAM, "migrate", "--tenant", "default"]
    subprocess.run(migrate, env={**os.environ, **settings}, check=True, stdout=subprocess.DEVNULL)
    postgres.sql("CREATE POLICY reads ON realtime.messages FOR SELECT TO authenticated USING (true)")
    running = Server(settings)
    await running.start()
    yield running
    await running.stop()


async def test_a_private_channel_receives_what_the_database_has_sent_before(person, server, postgres):
    postgres.sql("""SELECT realtime.send('{"n": 1}', 'hello', 'room')""")
    config = {"broadcast": {"replay": {"since": 0, "limit": 10}}, "presence": None, "private": True}
    ann = await person("room", token=server.token(), **config).joined()
    received = await ann.received.next()
    assert (received["event"], received["payload"]["n"], received["meta"]["replayed"]) == ("hello", 1, True)


async def test_a_client_that_comes_back_receives_what_it_has_missed(person, server):
    config = {"broadcast": {"ack": True, "self": True}, "presence": None, "private": False}
    sender = await person("chat:1", **config).joined()
    await sender.send("hello", {"n": 1})
    first = await sender.received.next()
    await sender.send("hello", {"n": 2})
    await sender.received.next()
    replay = {"after": first["meta"]["id"]}
    ann = await person("chat:1", broadcast={"replay": replay}, presence=None, private=False).joined()
    received = await ann.received.next()
    assert received["payload"] == {"n": 2}
    assert received["meta"]["replayed"] is True


async def test_a_public_channel_without_history_is_refused(person):
    config = {"broadcast": {"replay": {"since": 0}}, "presence": None, "private": False}
    ann = person("news", **config)
    await ann.channel.subscribe(ann.states.put)
    state, error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    reason = "UnableToReplayMessages: Replay is not allowed for public channels"
    assert json.loads(str(error)) == {"reason": reason}
