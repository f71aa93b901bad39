"""Broadcast with the Python client."""

import asyncio

WITH_SELF = {"ack": True, "self": True}


async def test_the_others_receive_a_broadcast_and_its_sender_does_not(person):
    ann, bob = await person("room").joined(), await person("room").joined()
    await ann.send("hello", {"n": 1})
    assert (await bob.received.next())["payload"] == {"n": 1}
    await bob.send("hello", {"n": 2})
    # Had ann received her own broadcast, it would have come first.
    assert (await ann.received.next())["payload"] == {"n": 2}


async def test_with_self_the_sender_receives_it(person):
    ann = await person("room", broadcast=WITH_SELF, presence=None, private=False).joined()
    await ann.send("hello", {"n": 1})
    message = await ann.received.next()
    assert message["event"] == "hello" and message["payload"] == {"n": 1}


async def test_twenty_messages_arrive_complete_and_in_order(person):
    ann, bob = await person("room").joined(), await person("room").joined()
    for n in range(20):
        await ann.send("hello", {"n": n})
    for n in range(20):
        assert (await bob.received.next())["payload"] == {"n": n}


async def test_several_rooms_on_one_socket(person):
    ann, bob = await person("one").joined(), await person("two").joined()
    other = ann.client.channel("two")
    await other.subscribe()
    await other.send_broadcast("hello", {"from": "ann"})
    assert (await bob.received.next())["payload"] == {"from": "ann"}
    assert ann.received.empty


async def test_a_broadcast_over_http_is_received(person, server):
    ann = await person("room").joined()
    assert await asyncio.to_thread(server.broadcast, "room", "hello", {"n": 1}) == 202
    assert (await ann.received.next())["payload"] == {"n": 1}


async def test_a_left_room_is_silent(person):
    ann, bob = await person("room").joined(), await person("room").joined()
    other = ann.client.channel("other").on_broadcast("hello", ann.received.put)
    await other.subscribe()
    await ann.client.remove_channel(ann.channel)
    await bob.send("hello", {"from": "the left room"})
    bob_there = bob.client.channel("other")
    await bob_there.subscribe()
    await bob_there.send_broadcast("hello", {"from": "the other room"})
    assert (await ann.received.next())["payload"] == {"from": "the other room"}
