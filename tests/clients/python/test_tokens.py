"""Tokens and refusals with the Python client."""

import json

import pytest
from realtime import RealtimeSubscribeStates
from websockets.exceptions import InvalidStatus


async def test_a_bad_key_is_refused_at_the_door(person):
    stranger = person("room", token="not-a-jwt")
    stranger.client.auto_reconnect = False
    with pytest.raises(InvalidStatus) as refusal:
        await stranger.client.connect()
    assert refusal.value.response.status_code == 401
    assert json.loads(refusal.value.response.body) == {"error": "The token provided is not a valid JWT"}


async def test_a_private_room_is_refused_with_the_reason(person):
    ann = person("room", broadcast=None, presence=None, private=True)
    await ann.channel.subscribe(ann.states.put)
    state, error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    reason = "UnableToConnectToProject: Realtime was unable to connect to the project database"
    assert json.loads(str(error)) == {"reason": reason}


async def test_an_expired_token_is_refused_at_the_join(person, server):
    ann = person("room")
    await ann.client.connect()
    await ann.client.set_auth(server.token(lives=-10))
    await ann.channel.subscribe(ann.states.put)
    state, error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    assert json.loads(str(error))["reason"].startswith("InvalidJWTToken: Token has expired ")


async def test_a_token_that_expires_ends_the_channel(person, server):
    ann = await person("room", token=server.token(lives=2)).joined()
    state, _error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR


async def test_a_refreshed_channel_outlives_its_first_token(person, server):
    ann = await person("room", token=server.token(lives=2)).joined()
    await ann.client.set_auth(server.token())
    # Somebody who began later and is not refreshed tells when the time is over.
    other = await person("other", token=server.token(lives=2)).joined()
    await other.states.next()
    bob = await person("room").joined()
    await bob.say("hello", {"n": 1})
    assert (await ann.heard.next())["payload"] == {"n": 1}
    assert ann.states.empty
