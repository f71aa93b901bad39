"""Presence with the Python client."""


def watching(one):
    """Puts every presence state into `one.presence`: the metas without refs, by sorted key."""

    def put_state(*_args):
        state = one.channel.presence_state()
        one.presence.put({key: [without_ref(meta) for meta in metas] for key, metas in sorted(state.items())})

    one.channel.on_presence_sync(put_state)
    return one


def without_ref(meta):
    return {name: value for name, value in meta.items() if name not in ("presence_ref", "phx_ref")}


async def member(person, key):
    return await watching(
        person("room", broadcast=None, presence={"key": key, "enabled": True}, private=False)
    ).joined()


async def test_track_update_and_untrack_are_seen_by_all(person):
    ann, bob = await member(person, "ann"), await member(person, "bob")
    await ann.channel.track({"mood": "good"})
    for one in (ann, bob):
        await one.presence.until(lambda state: state == {"ann": [{"mood": "good"}]})
    await ann.channel.track({"mood": "better"})
    await bob.presence.until(lambda state: state == {"ann": [{"mood": "better"}]})
    await bob.channel.track({"mood": "new"})
    await ann.presence.until(lambda state: state == {"ann": [{"mood": "better"}], "bob": [{"mood": "new"}]})
    await ann.channel.untrack()
    await bob.presence.until(lambda state: state == {"bob": [{"mood": "new"}]})


async def test_two_tabs_share_a_key_and_one_that_closes_leaves(person):
    one, two, bob = await member(person, "ann"), await member(person, "ann"), await member(person, "bob")
    await one.channel.track({"tab": 1})
    await bob.presence.until(lambda state: state == {"ann": [{"tab": 1}]})
    await two.channel.track({"tab": 2})
    await bob.presence.until(lambda state: state == {"ann": [{"tab": 1}, {"tab": 2}]})
    await two.client.close()
    await bob.presence.until(lambda state: state == {"ann": [{"tab": 1}]})


async def test_a_member_that_joins_late_receives_the_state(person):
    ann = await member(person, "ann")
    await ann.channel.track({"since": "early"})
    await ann.presence.until(lambda state: state == {"ann": [{"since": "early"}]})
    bob = await member(person, "bob")
    await bob.presence.until(lambda state: state == {"ann": [{"since": "early"}]})
