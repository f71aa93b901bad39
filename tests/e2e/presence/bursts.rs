//! Many changes at once: gathered, in an order that every member can apply, with the same result for all.

use super::*;

#[tokio::test]
async fn a_burst_of_updates_is_gathered_and_ends_with_the_newest_state() {
    const UPDATES: u64 = 200;
    let world = World::with(|settings| settings.presence.coalesce = Duration::from_millis(100)).await;
    let (mut ann, mut bob) = (member(&world, json!("ann")).await, member(&world, json!("bob")).await);
    for n in 1..=UPDATES {
        ann.push("2", ROOM, "presence", &track(json!({"n": n}))).await;
    }
    let mut view = View::default();
    while view.metas.first().map(|meta| &meta["n"]) != Some(&json!(UPDATES)) {
        view.see(&bob.next_json().await);
        assert_eq!(view.metas.len(), 1, "one member has one meta: {view:?}");
    }
    assert!(view.diffs < UPDATES as usize / 2, "{} diffs for {UPDATES} updates", view.diffs);
    let replies = ann
        .received()
        .await
        .iter()
        .filter(|frame| matches!(frame, Frame::Json(f) if f[3] == "phx_reply"))
        .count();
    assert_eq!(replies as u64, UPDATES, "every track is answered");
    world.stop().await;
}

/// Frames of these tracks, to be written at once.
fn tracks(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let frame = |n| json!(["1", "2", ROOM, "presence", track(json!({"n": n}))]).to_string();
    numbers.into_iter().flat_map(|n| RawFrame::text(&frame(n)).encode()).collect()
}

/// A member with the key `ann` that writes many tracks at once.
async fn raw_ann(world: &World) -> RawSocket {
    let mut ann = world.raw().await;
    let config = json!({"config": {"presence": {"key": "ann", "enabled": true}}});
    ann.send(&RawFrame::text(&json!(["1", "1", ROOM, "phx_join", config]).to_string())).await;
    assert_eq!(ann.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    ann
}

/// Checks a diff of ann's as a member that has received all diffs before it: `seen` are the refs of their joins, in order.
/// What leaves was there, and the previous state is a known one. Returns the new `n`.
fn follow(diff: &Value, seen: &mut Vec<Value>) -> Option<u64> {
    let (joins, leaves) = (metas(&diff["joins"]), metas(&diff["leaves"]));
    assert!(joins.len() <= 1 && leaves.len() <= 1, "one member, one change: {diff}");
    for gone in &leaves {
        assert_eq!(Some(&gone["phx_ref"]), seen.last(), "what leaves is what was there: {diff}");
    }
    let meta = joins.first()?;
    if let Some(previous) = meta.get("phx_ref_prev") {
        assert!(seen.contains(previous), "{previous} was never shown: {diff}");
    }
    assert!(!seen.contains(&meta["phx_ref"]), "a ref is new: {diff}");
    seen.push(meta["phx_ref"].clone());
    meta["n"].as_u64()
}

// The first of the two is never announced, so no state may name it as the previous one.
#[tokio::test]
async fn two_tracks_at_once_are_one_diff_that_names_the_last_one_announced() {
    let world = World::start().await;
    let (mut ann, mut bob) = (raw_ann(&world).await, member(&world, json!("bob")).await);
    let mut seen: Vec<Value> = Vec::new();
    for round in 1..=20 {
        ann.write(&tracks([2 * round, 2 * round + 1])).await.expect("sent");
        let before = seen.last().cloned();
        let frame = bob.next_json().await;
        assert_eq!(follow(&frame[4], &mut seen), Some(2 * round + 1), "{frame}");
        let meta = &frame[4]["joins"]["ann"]["metas"][0];
        assert_eq!(meta.get("phx_ref_prev"), before.as_ref(), "it names the one before: {frame}");
        assert_eq!(metas(&frame[4]["leaves"]).len(), usize::from(before.is_some()), "{frame}");
    }
    bob.expect_quiet().await;
    world.stop().await;
}

// On several threads, so that the announcer comes between any two tracks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn quick_tracks_never_name_a_state_that_was_not_announced() {
    for coalesce in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(20)] {
        let world = World::with(|settings| settings.presence.coalesce = coalesce).await;
        let (mut ann, mut bob) = (raw_ann(&world).await, member(&world, json!("bob")).await);
        for (first, many) in [(1, 20), (21, 2), (23, 2), (25, 1), (26, 5), (31, 70), (101, 100)] {
            ann.write(&tracks(first..first + many)).await.expect("sent");
        }
        let (mut seen, mut newest) = (Vec::new(), None);
        while newest != Some(200) {
            let frame = bob.next_json().await;
            assert_eq!(frame[3], "presence_diff");
            let n = follow(&frame[4], &mut seen);
            assert!(n > newest, "{n:?} after {newest:?}");
            newest = n;
        }
        bob.expect_quiet().await;
        world.stop().await;
    }
}

#[tokio::test]
async fn all_members_of_a_room_that_track_end_with_the_same_state() {
    const MEMBERS: usize = 40;
    let world = World::start().await;
    let mut clients = Vec::new();
    for n in 0..MEMBERS {
        let mut client = world.connect().await;
        client.join(ROOM, json!({"presence": {"key": format!("user {n}"), "enabled": true}})).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.push("2", ROOM, "presence", &track(json!({"here": true}))).await;
    }
    for client in &mut clients {
        let mut view = View::default();
        while view.metas.len() < MEMBERS {
            view.see(&client.next_json().await);
        }
    }
    world.stop().await;
}
