"""Tokens and refusals with the Python client."""

import json

import pytest
from realtime import RealtimeSubscribeStates
from websockets.exceptions import InvalidStatus


async def test_a_bad_key_is_refused_at_the_handshake(person):
    unauthorised = person("room", token="not-a-jwt")
    unauthorised.client.auto_reconnect = False
    with pytest.raises(InvalidStatus) as refusal:
        await unauthorised.client.connect()
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
    await ann.client.set_auth(server.token(lifetime=-10))
    await ann.channel.subscribe(ann.states.put)
    state, error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    assert json.loads(str(error))["reason"].startswith("InvalidJWTToken: Token has expired ")


async def test_a_token_that_expires_ends_the_channel(person, server):
    ann = await person("room", token=server.token(lifetime=2)).joined()
    state, _error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR


async def test_a_channel_with_a_refreshed_token_stays_joined(person, server):
    ann = await person("room", token=server.token(lifetime=2)).joined()
    await ann.client.set_auth(server.token())
    # A second client with a later token, which is not refreshed, shows when the first token has expired.
    other = await person("other", token=server.token(lifetime=2)).joined()
    await other.states.next()
    bob = await person("room").joined()
    await bob.send("hello", {"n": 1})
    assert (await ann.received.next())["payload"] == {"n": 1}
    assert ann.states.empty
