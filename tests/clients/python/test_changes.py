"""Postgres Changes with the Python client."""

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from realtime.types import RealtimePostgresChangesListenEvent as Event

from people import Inbox, Person
from postgres import Postgres
from server import PROGRAM, Server

TABLES = """
    CREATE TABLE todos (id int PRIMARY KEY, title text);
    CREATE TABLE notes (id int PRIMARY KEY, owner text);
    ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON notes FOR SELECT TO authenticated USING (auth.jwt() ->> 'sub' = owner);
    GRANT SELECT ON todos, notes TO authenticated;
    ALTER PUBLICATION supabase_realtime ADD TABLE todos, notes;
"""

NUMBERS = itertools.count()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest_asyncio.fixture
async def server(postgres: Postgres) -> AsyncIterator[Server]:
    """A server whose default tenant has a database with published tables."""
    settings = {"REALTIME__TENANTS__DEFAULT__DATABASE__URL": postgres.url}
    migrate = [PROGRAM, "migrate", "--tenant", "default", "--auth-helpers"]
    subprocess.run(migrate, env={**os.environ, **settings}, check=True, stdout=subprocess.DEVNULL)
    postgres.sql(TABLES)
    running = Server(settings)
    await running.start()
    yield running
    await running.stop()


async def following(person: Person, event: Event, **binding: Any) -> Inbox:
    """The changes of a client that has subscribed to them, and receives them."""
    changes, notices = Inbox(), person.notices()
    person.channel.on_postgres_changes(event, lambda payload: changes.put(payload["data"]), **binding)
    await person.joined()
    await notices.until(lambda notice: notice.message == "Subscribed to PostgreSQL")
    return changes


async def test_rows_that_are_inserted_updated_and_deleted_are_received(person, postgres):
    changes = await following(person("room"), Event.All, schema="public", table="todos")
    postgres.sql("INSERT INTO todos VALUES (1, 'a'); UPDATE todos SET title = 'b'; DELETE FROM todos")
    inserted, updated, deleted = [await changes.next() for _ in range(3)]
    assert (inserted["type"], inserted["record"]) == ("INSERT", {"id": 1, "title": "a"})
    assert (updated["type"], updated["record"]["title"], updated["old_record"]) == ("UPDATE", "b", {"id": 1})
    assert (deleted["type"], deleted["old_record"]) == ("DELETE", {"id": 1})


async def test_a_filter_and_a_selection(person, postgres):
    binding = {"schema": "public", "table": "todos", "filter": "title=like.b%", "select": ["id"]}
    changes = await following(person("room"), Event.Insert, **binding)
    postgres.sql("INSERT INTO todos VALUES (1, 'a'), (2, 'bb')")
    assert (await changes.next())["record"] == {"id": 2}


async def test_users_see_their_own_rows(person, server, postgres):
    own: dict[str, Inbox] = {}
    for sub in ("ann", "bob"):
        client = person("room", token=server.token(sub=sub, number=next(NUMBERS)))
        own[sub] = await following(client, Event.Insert, schema="public", table="notes")
    postgres.sql("INSERT INTO notes VALUES (1, 'ann'), (2, 'bob'), (3, 'ann')")
    assert [(await own["ann"].next())["record"]["id"] for _ in range(2)] == [1, 3]
    assert (await own["bob"].next())["record"]["id"] == 2
    assert own["bob"].empty


# The client takes a notice with the status `error` for the end of the channel: it joins again, and is closed with its first join.
async def test_a_database_that_is_away_for_a_moment_ends_no_channel(person, postgres):
    ann = person("room")
    changes = await following(ann, Event.Insert, schema="public", table="todos")
    closes, notices = ann.closes(), ann.notices()
    await asyncio.to_thread(postgres.restart)
    await notices.until(lambda notice: notice.message == "Changes may have been missed")
    postgres.sql("INSERT INTO todos VALUES (1, 'a')")
    assert (await changes.next())["record"]["id"] == 1
    assert closes.empty and ann.states.empty


async def test_a_publication_that_is_made_later_is_waited_for(person, postgres):
    postgres.sql("DROP PUBLICATION supabase_realtime")
    ann = person("room")
    changes, notices, closes = Inbox(), ann.notices(), ann.closes()
    binding = {"schema": "public", "table": "todos"}
    ann.channel.on_postgres_changes(Event.Insert, lambda payload: changes.put(payload["data"]), **binding)
    await ann.joined()
    await notices.until(lambda notice: "does not exist" in notice.message)
    postgres.sql("CREATE PUBLICATION supabase_realtime FOR TABLE todos")
    await notices.until(lambda notice: notice.message == "Subscribed to PostgreSQL")
    postgres.sql("INSERT INTO todos VALUES (1, 'a')")
    assert (await changes.next())["record"]["id"] == 1
    assert closes.empty and ann.states.empty
