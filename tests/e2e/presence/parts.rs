//! What is larger than an outbox takes is received in parts, and the view of each client is exact all the same
//! (docs/protocol/channels.md#presence-state-and-diffs).

use std::time::Duration;

use harness::{Client, Dialect, Frame, RawFrame, Token, World, eventually, opcode};
use serde_json::{Value, json};
use settings::{ByteSize, Settings};

use super::{ROOM, View, member, track};

/// The tests' `outbox.max_bytes`, and a tracked text of which it takes a few.
const OUTBOX: u64 = 64 * 1024;
const TEXT: usize = 10_000;

/// The largest message of presence: three quarters of an outbox, and an envelope.
const PIECE_MAX: usize = OUTBOX as usize / 4 * 3 + 100;

fn small_outboxes(settings: &mut Settings) {
    settings.outbox.max_bytes = ByteSize::b(OUTBOX);
    settings.presence.coalesce = Duration::ZERO;
}

fn text(n: usize) -> Value {
    track(json!({"n": n, "text": "x".repeat(TEXT)}))
}

/// Members of the room that each show a text.
async fn crowd(world: &World, size: usize) -> Vec<Client> {
    let mut crowd = Vec::new();
    for n in 0..size {
        let mut client = world.connect().await;
        client.join(ROOM, json!({"presence": {"key": format!("user {n}"), "enabled": true}})).await;
        client.push("track", ROOM, "presence", &text(n)).await;
        client.received().await;
        crowd.push(client);
    }
    crowd
}

/// A message of either dialect in the form of V2.
fn as_v2(frame: Frame) -> Value {
    match frame {
        Frame::Json(Value::Object(frame)) => {
            json!([null, frame["ref"], frame["topic"], frame["event"], frame["payload"]])
        }
        Frame::Json(frame) => frame,
        other => panic!("expected JSON, got {other}"),
    }
}

/// Refs of the metas in a view, sorted.
fn refs(view: &View) -> Vec<String> {
    let mut refs: Vec<String> = view.metas.iter().map(|meta| meta["phx_ref"].to_string()).collect();
    refs.sort();
    refs
}

#[tokio::test]
async fn a_large_state_is_a_presence_state_and_diffs_that_add_the_rest() {
    let world = World::with(small_outboxes).await;
    let crowd = crowd(&world, 12).await;
    for dialect in [Dialect::V1, Dialect::V2] {
        let mut late = world.connect_as(dialect, Token::Valid).await;
        late.join(ROOM, json!({"presence": {"key": "late", "enabled": true}})).await;
        let mut view = View::default();
        let mut events = Vec::new();
        while view.metas.len() < crowd.len() {
            let frame = as_v2(late.next().await);
            assert!(frame.to_string().len() <= PIECE_MAX, "{} bytes", frame.to_string().len());
            view.see(&frame);
            events.push(frame[3].as_str().expect("an event").to_owned());
            assert!(frame[3] == "presence_state" || frame[4]["leaves"] == json!({}), "{}", frame[3]);
        }
        assert_eq!(events, ["presence_state", "presence_diff", "presence_diff"]);
        late.expect_quiet().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn the_views_of_newcomers_are_exact_whatever_changes_while_they_receive_the_state() {
    let world = World::with(small_outboxes).await;
    let mut crowd = crowd(&world, 40).await;
    let mut newcomers = Vec::new();
    for round in 0..10 {
        let mut newcomer = world.connect().await;
        newcomer.join(ROOM, json!({"presence": {"key": "new", "enabled": true}})).await;
        newcomers.push((newcomer, View::default()));
        // One leaves, one shows something else, one shows nothing.
        drop(crowd.remove(0));
        crowd[round].push("again", ROOM, "presence", &text(100 + round)).await;
        let untrack = json!({"type": "presence", "event": "untrack"});
        crowd[19].push("untrack", ROOM, "presence", &untrack).await;
    }
    for client in &mut crowd {
        client.settle().await;
    }
    let mut shown = Vec::new();
    eventually("ten have left, and ten show nothing", async || {
        let mut observer = member_with_view(&world).await;
        read(&mut observer).await;
        shown = refs(&observer.1);
        shown.len() == 20
    })
    .await;
    for (client, view) in &mut newcomers {
        eventually("the newcomer sees what an observer sees", async || {
            read_into(client, view).await;
            refs(view) == shown
        })
        .await;
    }
    world.stop().await;
}

/// A client that has just joined.
async fn member_with_view(world: &World) -> (Client, View) {
    let mut client = world.connect().await;
    client.join(ROOM, json!({"presence": {"key": "observer", "enabled": true}})).await;
    (client, View::default())
}

/// Reads until nothing more comes in answer to what was read.
async fn read((client, view): &mut (Client, View)) {
    loop {
        let before = (view.states, view.diffs);
        for _ in 0..5 {
            read_into(client, view).await;
        }
        if before == (view.states, view.diffs) && view.states > 0 {
            return;
        }
    }
}

async fn read_into(client: &mut Client, view: &mut View) {
    client.received().await.into_iter().map(as_v2).for_each(|frame| view.see(&frame));
}

// The second frame is the same for all; the first has the join_ref.
#[tokio::test]
async fn a_large_presence_state_is_a_message_in_two_frames() {
    let world = World::with(small_outboxes).await;
    let _crowd = crowd(&world, 2).await;
    let mut raw = world.raw().await;
    let join = json!(["7", "7", ROOM, "phx_join", {"config": {"presence": {"key": "raw", "enabled": true}}}]);
    raw.send(&RawFrame::text(&join.to_string())).await;
    let mut next = async || raw.next().await.expect("a frame");
    assert!(next().await.fin, "the reply");
    let (first, second) = (next().await, next().await);
    assert_eq!((first.fin, first.opcode), (false, opcode::TEXT));
    assert_eq!((second.fin, second.opcode), (true, opcode::CONTINUATION));
    assert_eq!(first.payload, format!(r#"["7",null,"{ROOM}","presence_state","#).into_bytes());
    let message: Value =
        serde_json::from_slice(&[first.payload, second.payload].concat()).expect("a message");
    assert_eq!(message[4].as_object().map(serde_json::Map::len), Some(2));
    world.stop().await;
}

// Changes that are gathered are one diff, unless that is too large: then both halves of an update stay together.
#[tokio::test]
async fn a_large_diff_is_several() {
    let world = World::with(|settings| {
        settings.outbox.max_bytes = ByteSize::b(2 * OUTBOX);
        settings.presence.coalesce = Duration::from_millis(300);
    })
    .await;
    let mut observer = member(&world, json!("observer")).await;
    let mut crowd = crowd(&world, 5).await;
    let mut view = View::default();
    eventually("all are seen", async || {
        read_into(&mut observer, &mut view).await;
        view.metas.len() == 5
    })
    .await;
    view = View { metas: view.metas, ..View::default() };
    for client in &mut crowd {
        client.push("again", ROOM, "presence", &text(9)).await;
    }
    while view.metas.iter().any(|meta| meta["n"] != 9) {
        let frame = observer.next_json().await;
        assert!(frame.to_string().len() <= 2 * PIECE_MAX);
        let keys = |half: &str| frame[4][half].as_object().expect("keys").keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys("joins"), keys("leaves"));
        view.see(&frame);
    }
    assert_eq!((view.metas.len(), view.states), (5, 0));
    assert!(view.diffs >= 2, "{}", view.diffs);
    world.stop().await;
}
