"""Private rooms and messages from SQL with the Python client: policies in a PostgreSQL decide."""

import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from realtime import RealtimeSubscribeStates

from postgres import Postgres
from server import PROGRAM, Server

POLICIES = """
    CREATE TABLE rights (name text, action text);
    GRANT SELECT ON rights TO authenticated;
    CREATE FUNCTION may(wanted text) RETURNS boolean STABLE LANGUAGE sql AS $$
        SELECT EXISTS (SELECT FROM public.rights WHERE name = auth.jwt() ->> 'sub' AND action = wanted)
    $$;
    CREATE POLICY reads ON realtime.messages FOR SELECT TO authenticated USING (public.may('read'));
    CREATE POLICY writes ON realtime.messages FOR INSERT TO authenticated WITH CHECK (public.may('write'));
"""

PRIVATE = {"broadcast": None, "presence": None, "private": True}

NUMBERS = itertools.count()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest_asyncio.fixture
async def server(postgres: Postgres) -> AsyncIterator[Server]:
    """A server whose default tenant has a database with policies."""
    settings = {"REALTIME__TENANTS__DEFAULT__DATABASE__URL": postgres.url}
    migrate = [PROGRAM, "migrate", "--tenant", "default", "--auth-helpers"]
    subprocess.run(migrate, env={**os.environ, **settings}, check=True, stdout=subprocess.DEVNULL)
    postgres.sql(POLICIES)
    running = Server(settings)
    await running.start()
    yield running
    await running.stop()


def allow(postgres: Postgres, name: str, *actions: str) -> None:
    for action in actions:
        postgres.sql(f"INSERT INTO rights VALUES ('{name}', '{action}')")


def token(server: Server, sub: str) -> str:
    """A token of a user; each is another one."""
    return server.token(sub=sub, number=next(NUMBERS))


async def test_who_may_read_joins_and_who_may_not_is_refused(person, server, postgres):
    allow(postgres, "ann", "read", "write")
    allow(postgres, "bob", "read")
    ann = await person("room", token=token(server, "ann"), **PRIVATE).joined()
    bob = await person("room", token=token(server, "bob"), **PRIVATE).joined()
    await bob.send("hello", {"n": 1})
    await ann.send("hello", {"n": 2})
    received = await bob.received.next()
    assert received["payload"] == {"n": 2}
    assert ann.received.empty, "bob may not write"

    eve = person("room", token=token(server, "eve"), **PRIVATE)
    await eve.channel.subscribe(eve.states.put)
    state, error = await eve.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    reason = "Unauthorized: You do not have permissions to read from this Channel topic: room"
    assert json.loads(str(error)) == {"reason": reason}


async def test_a_right_that_is_withdrawn_ends_the_channel_with_the_next_token(person, server, postgres):
    allow(postgres, "ann", "read")
    ann = await person("room", token=token(server, "ann"), **PRIVATE).joined()
    closes = ann.closes()
    postgres.sql("DELETE FROM rights")
    await ann.client.set_auth(token(server, "ann"))
    await closes.next()
    assert ann.channel.is_closed


async def test_a_row_that_a_trigger_sends_is_received(person, server, postgres):
    allow(postgres, "ann", "read")
    config = {**PRIVATE, "broadcast": {"replication_ready": True}}
    ann = person("room", token=token(server, "ann"), **config)
    notices = ann.notices()
    await ann.joined()
    await notices.until(lambda notice: notice.message == "Replication connection established")
    postgres.sql("""
        CREATE TABLE tasks (id int PRIMARY KEY, title text);
        CREATE FUNCTION send_task() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM realtime.broadcast_changes('room', 'hello', TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, NEW, OLD);
            RETURN NULL;
        END $$;
        CREATE TRIGGER send_task AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION send_task();
        INSERT INTO tasks VALUES (1, 'a');
    """)
    received = await ann.received.next()
    assert received["payload"]["record"] == {"id": 1, "title": "a"}
    assert received["payload"]["operation"] == "INSERT"
