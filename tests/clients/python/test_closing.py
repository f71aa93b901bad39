"""What the Python client needs to stay in its rooms: notices of refused broadcasts, and close codes after which it
reconnects."""

import pytest
from realtime import RealtimeSubscribeStates

WITH_SELF = {"ack": False, "self": True}


async def test_an_oversized_broadcast_without_ack_is_reported_and_the_channel_stays(person):
    ann, bob = await person("room").joined(), await person("room").joined()
    notices = ann.notices()
    await ann.send("hello", {"text": "x" * 3_500_000})
    notice = await notices.next()
    assert (notice.status, notice.message) == ("ok", "payload_size_exceeded")
    await ann.send("hello", {"n": 1})
    assert (await bob.received.next())["payload"] == {"n": 1}
    assert ann.states.empty


@pytest.mark.parametrize(
    ("code", "message"),
    [(1007, (b"\xff", True)), (1009, ("x" * 5_000_001, None))],
)
async def test_after_a_close_code_the_client_is_back_in_its_room(person, code, message):
    ann = await person("room", broadcast=WITH_SELF, presence=None, private=False).joined()
    data, text = message
    await ann.client._ws_connection.send(data, text=text)
    state, error = await ann.states.next()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    assert str(code) in str(error)
    await ann.states.until(lambda update: update[0] == RealtimeSubscribeStates.SUBSCRIBED)
    await ann.send("hello", {"n": 1})
    assert (await ann.received.next())["payload"] == {"n": 1}


@pytest.mark.settings(REALTIME__SERVER__NO_CHANNEL_TIMEOUT="300ms")
async def test_a_client_without_channels_can_join_after_it_is_closed(person):
    ann = person("room", broadcast=WITH_SELF, presence=None, private=False)
    await ann.client.connect()
    first = ann.client._ws_connection
    await first.wait_closed()
    assert first.close_code == 1013
    await ann.joined()
    await ann.send("hello", {"n": 1})
    assert (await ann.received.next())["payload"] == {"n": 1}


@pytest.mark.settings(
    REALTIME__SERVER__PING_INTERVAL="100ms",
    REALTIME__SERVER__IDLE_TIMEOUT="500ms",
)
async def test_a_silent_client_stays_connected_by_answering_pings(person):
    ann = await person("room", broadcast=WITH_SELF, presence=None, private=False).joined()
    connection = ann.client._ws_connection
    pings = ann.pings()
    # Twice the idle timeout.
    for _ in range(10):
        await pings.next()
    await ann.send("hello", {"n": 1})
    assert (await ann.received.next())["payload"] == {"n": 1}
    assert ann.client._ws_connection is connection and ann.states.empty
