"""A server that restarts on its port: the Python client reconnects by itself, because the close code is 1012."""

from realtime import RealtimeSubscribeStates


async def test_after_a_restart_all_clients_are_back_in_their_rooms(person, server):
    ann, bob = await person("room").joined(), await person("room").joined()
    await server.restart()
    for one in (ann, bob):
        state, error = await one.states.next()
        assert state == RealtimeSubscribeStates.CHANNEL_ERROR
        assert "1012" in str(error)
        await one.states.until(lambda update: update[0] == RealtimeSubscribeStates.SUBSCRIBED)
    await ann.send("hello", {"n": 1})
    assert (await bob.received.next())["payload"] == {"n": 1}
