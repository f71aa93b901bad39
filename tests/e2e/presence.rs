//! Presence: what members track, and what the others receive of it (docs/protocol/channels.md#presence-messages).

mod budget;
mod bursts;
mod parts;
mod room_size;

use std::time::Duration;

use harness::{Client, Frame, RawFrame, RawSocket, World, opcode};
use serde_json::{Value, json};

const ROOM: &str = "realtime:room";

/// Runs a script on a server that sends every change at once.
async fn check(script: &str) {
    let world = World::with(|settings| settings.presence.coalesce = Duration::ZERO).await;
    world.check(script).await;
    world.stop().await;
}

/// A member of the room with the key `key`, whose first state has been read.
async fn member(world: &World, key: Value) -> Client {
    let mut client = world.connect().await;
    client.join(ROOM, json!({"presence": {"key": key, "enabled": true}})).await;
    assert_eq!(client.next_json().await[3], "presence_state");
    client
}

/// The payloads of the `presence_diff`s that a client has received.
async fn diffs(client: &mut Client) -> Vec<Value> {
    let frames = client.received().await.into_iter();
    frames
        .filter_map(|frame| match frame {
            Frame::Json(frame) if frame[3] == "presence_diff" => Some(frame[4].clone()),
            _ => None,
        })
        .collect()
}

fn track(payload: Value) -> Value {
    json!({"type": "presence", "event": "track", "payload": payload})
}

/// The presence that realtime-js computes from states and diffs: metas by `phx_ref`, joins before leaves.
#[derive(Debug, Default)]
struct View {
    metas: Vec<Value>,
    states: usize,
    diffs: usize,
    replies: usize,
}

impl View {
    fn see(&mut self, frame: &Value) {
        match frame[3].as_str() {
            Some("presence_state") => {
                self.states += 1;
                self.metas = metas(&frame[4]);
            }
            Some("presence_diff") => {
                self.diffs += 1;
                self.apply(&frame[4]);
            }
            Some("phx_reply") => self.replies += 1,
            _ => {}
        }
    }

    fn apply(&mut self, diff: &Value) {
        for meta in metas(&diff["joins"]) {
            self.metas.retain(|known| known["phx_ref"] != meta["phx_ref"]);
            self.metas.push(meta);
        }
        for meta in metas(&diff["leaves"]) {
            self.metas.retain(|known| known["phx_ref"] != meta["phx_ref"]);
        }
    }
}

/// The metas of all keys.
fn metas(keys: &Value) -> Vec<Value> {
    let keys = keys.as_object().expect("an object of keys").values();
    keys.flat_map(|key| key["metas"].as_array().expect("metas is a list").clone()).collect()
}

#[tokio::test]
async fn the_state_follows_the_join_and_every_change_is_a_diff() {
    check(
        r#"
        ann joins realtime:room {"presence":{"key":"ann","enabled":true}}
        ann < ["1",null,"realtime:room","presence_state",{}]
        ann > ["1","9","realtime:room","presence",{"type":"presence","event":"track","payload":{"user":"a"}}]
        ann <~ ["1","9","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann <~ [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"user":"a"}]}},"leaves":{}}]
        bob joins realtime:room {"presence":{"key":"bob","enabled":true}}
        bob < ["1",null,"realtime:room","presence_state",{"ann":{"metas":[{"phx_ref":_,"user":"a"}]}}]
        bob > ["1","2","realtime:room","presence",{"type":"presence","event":"TRACK"}]
        bob <~ ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        bob <~ [null,null,"realtime:room","presence_diff",{"joins":{"bob":{"metas":[{"phx_ref":_}]}},"leaves":{}}]
        ann < [null,null,"realtime:room","presence_diff",{"joins":{"bob":{"metas":[{"phx_ref":_}]}},"leaves":{}}]
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn the_first_serializer_receives_the_same() {
    check(
        r#"
        ann (v1) joins realtime:room {"presence":{"key":"ann","enabled":true}}
        ann < {"topic":"realtime:room","event":"presence_state","payload":{},"ref":null}
        ann > {"topic":"realtime:room","event":"presence","payload":{"type":"presence","event":"track","payload":{"user":"a"}},"ref":"2","join_ref":null}
        ann <~ {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}
        ann <~ {"topic":"realtime:room","event":"presence_diff","payload":{"joins":{"ann":{"metas":[{"phx_ref":_,"user":"a"}]}},"leaves":{}},"ref":null}
        ann > {"topic":"realtime:room","event":"presence","payload":{"type":"presence","event":"untrack"},"ref":"3","join_ref":null}
        ann <~ {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"3"}
        ann <~ {"topic":"realtime:room","event":"presence_diff","payload":{"joins":{},"leaves":{"ann":{"metas":[{"phx_ref":_,"user":"a"}]}}},"ref":null}
        "#,
    )
    .await;
}

// docs/protocol/channels.md#presence-state-and-diffs: realtime-js applies joins, then leaves, by phx_ref; two
// diffs or one half would leave stale entries.
#[tokio::test]
async fn an_update_is_one_diff_that_names_the_state_before() {
    let world = World::with(|settings| settings.presence.coalesce = Duration::ZERO).await;
    let (mut ann, mut bob) = (member(&world, json!("ann")).await, member(&world, json!("bob")).await);
    ann.push("2", ROOM, "presence", &track(json!({"user": "a"}))).await;
    let arrival = bob.next_json().await;
    ann.push("3", ROOM, "presence", &track(json!({"user": "b"}))).await;
    let update = bob.next_json().await;
    let first = &arrival[4]["joins"]["ann"]["metas"][0];
    let (old, new) = (&update[4]["leaves"]["ann"]["metas"][0], &update[4]["joins"]["ann"]["metas"][0]);
    assert_eq!(first, old);
    assert_eq!(new["phx_ref_prev"], first["phx_ref"]);
    assert_ne!(new["phx_ref"], first["phx_ref"]);
    assert_eq!(new["user"], "b");
    world.stop().await;
}

#[tokio::test]
async fn an_untrack_removes_the_entry_and_may_be_repeated() {
    check(
        r#"
        ann, bob join realtime:room {"presence":{"key":"both","enabled":true}}
        ann, bob < ["1",null,"realtime:room","presence_state",{}]
        ann > ["1","2","realtime:room","presence",{"type":"presence","event":"untrack"}]
        ann < ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann > ["1","3","realtime:room","presence",{"type":"presence","event":"track","payload":{"a":1}}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{"both":{"metas":[{"phx_ref":_,"a":1}]}},"leaves":{}}]
        ann > ["1","4","realtime:room","presence",{"type":"presence","event":"untrack"}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{},"leaves":{"both":{"metas":[{"phx_ref":_,"a":1}]}}}]
        ann > ["1","5","realtime:room","presence",{"type":"presence","event":"track","payload":{"a":1}}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{"both":{"metas":[{"phx_ref":_,"a":1}]}},"leaves":{}}]
        bob is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn tracking_the_same_again_is_answered_and_changes_nothing() {
    check(
        r#"
        ann, bob join realtime:room {"presence":{"key":"k","enabled":true}}
        ann, bob < ["1",null,"realtime:room","presence_state",{}]
        ann > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"a":1}}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{"k":{"metas":[{"phx_ref":_,"a":1}]}},"leaves":{}}]
        ann <~ ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann <~ [null,null,"realtime:room","presence_diff",_]
        ann > ["1","3","realtime:room","presence",{"type":"presence","event":"track","payload":{"a":1}}]
        ann < ["1","3","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn two_tabs_are_one_key_with_two_metas() {
    check(
        r#"
        ann, tab join realtime:room {"presence":{"key":"ann","enabled":true}}
        ann, tab < ["1",null,"realtime:room","presence_state",{}]
        ann > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"tab":1}}]
        tab < [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"tab":1}]}},"leaves":{}}]
        tab > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"tab":1}}]
        tab <~ ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        tab <~ [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"tab":1}]}},"leaves":{}}]
        bob joins realtime:room {"presence":{"enabled":true}}
        bob < ["1",null,"realtime:room","presence_state",{"ann":{"metas":[{"phx_ref":_,"tab":1},{"phx_ref":_,"tab":1}]}}]
        tab leaves realtime:room
        bob < [null,null,"realtime:room","presence_diff",{"joins":{},"leaves":{"ann":{"metas":[{"phx_ref":_,"tab":1}]}}}]
        cid joins realtime:room {"presence":{"enabled":true}}
        cid < ["1",null,"realtime:room","presence_state",{"ann":{"metas":[{"phx_ref":_,"tab":1}]}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_leave_a_lost_connection_and_a_rejoin_end_a_presence() {
    check(
        r#"
        bob joins realtime:room {"presence":{"key":"bob","enabled":true}}
        bob < ["1",null,"realtime:room","presence_state",{}]
        ann joins realtime:room {"presence":{"key":"ann"}}
        ann > ["1","9","realtime:room","presence",{"type":"presence","event":"track","payload":{"is":"new"}}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"is":"new"}]}},"leaves":{}}]
        ann > ["2","2","realtime:room","phx_join",{"config":{"presence":{"key":"ann"}}}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{},"leaves":{"ann":{"metas":[{"phx_ref":_,"is":"new"}]}}}]
        ann > ["2","10","realtime:room","presence",{"type":"presence","event":"track","payload":{"is":"back"}}]
        bob < [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"is":"back"}]}},"leaves":{}}]
        ann vanishes
        bob < [null,null,"realtime:room","presence_diff",{"joins":{},"leaves":{"ann":{"metas":[{"phx_ref":_,"is":"back"}]}}}]
        bob is quiet
        "#,
    )
    .await;
}

// realtime-js holds diffs back until it has a state, so a diff alone is of no use. Upstream
// sends them to all members of a public room (docs/protocol/channels.md#recipients-of-presence).
#[tokio::test]
async fn without_presence_there_is_neither_state_nor_diff() {
    check(
        r#"
        ann joins realtime:room {"presence":{"key":"ann","enabled":false}}
        cid joins realtime:room {"presence":null}
        dan (v1) joins realtime:room
        bob joins realtime:room {"presence":{"key":"bob","enabled":true}}
        bob < ["1",null,"realtime:room","presence_state",{}]
        bob > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{}}]
        bob <~ ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        bob <~ [null,null,"realtime:room","presence_diff",{"joins":{"bob":{"metas":[{"phx_ref":_}]}},"leaves":{}}]
        ann, bob, cid, dan are quiet
        "#,
    )
    .await;
}

// Clients from before `enabled`, such as realtime-js 2.9 to 2.11, ask for presence by naming a key.
#[tokio::test]
async fn a_join_with_a_key_alone_takes_part() {
    check(
        r#"
        bob joins realtime:room {"presence":{"key":"bob","enabled":true}}
        bob < ["1",null,"realtime:room","presence_state",{}]
        bob > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{}}]
        bob <~ ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        bob <~ [null,null,"realtime:room","presence_diff",{"joins":{"bob":{"metas":[{"phx_ref":_}]}},"leaves":{}}]
        ann (v1) joins realtime:room {"presence":{"key":""}}
        ann < {"topic":"realtime:room","event":"presence_state","payload":{"bob":{"metas":[{"phx_ref":_}]}},"ref":null}
        cid joins realtime:room {"presence":{"key":"cid","enabled":null}}
        cid < ["1",null,"realtime:room","presence_state",{"bob":{"metas":[{"phx_ref":_}]}}]
        bob > ["1","3","realtime:room","presence",{"type":"presence","event":"untrack"}]
        ann < {"topic":"realtime:room","event":"presence_diff","payload":{"joins":{},"leaves":{"bob":{"metas":[{"phx_ref":_}]}}},"ref":null}
        cid < [null,null,"realtime:room","presence_diff",{"joins":{},"leaves":{"bob":{"metas":[{"phx_ref":_}]}}}]
        ann, cid are quiet
        "#,
    )
    .await;
}

// docs/protocol/channels.md#recipients-of-presence: upstream sends no state then, and realtime-js never shows
// its own presence.
#[tokio::test]
async fn the_first_track_of_a_member_without_presence_also_brings_the_state() {
    let world = World::with(|settings| settings.presence.coalesce = Duration::ZERO).await;
    let mut bob = member(&world, json!("bob")).await;
    bob.push("2", ROOM, "presence", &track(json!({"is": "bob"}))).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": false}})).await;
    ann.push("2", ROOM, "presence", &track(json!({"is": "ann"}))).await;
    let mut view = View::default();
    while view.states == 0 || view.metas.len() < 2 || view.replies == 0 {
        view.see(&ann.next_json().await);
    }
    ann.push("3", ROOM, "presence", &track(json!({"is": "new"}))).await;
    while view.metas.iter().all(|meta| meta["is"] != "new") {
        view.see(&ann.next_json().await);
    }
    assert_eq!((view.states, view.metas.len()), (1, 2), "one state, and then diffs: {view:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_may_enable_presence_for_all_clients() {
    let world = World::with(|settings| settings.presence.enabled = true).await;
    world
        .check(
            r#"
            ann joins realtime:room
            ann < ["1",null,"realtime:room","presence_state",{}]
            bob joins realtime:room {"presence":{"enabled":false}}
            bob < ["1",null,"realtime:room","presence_state",{}]
            "#,
        )
        .await;
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_tracked_is_answered_and_the_channel_stays() {
    check(
        r#"
        ann, bob join realtime:room {"presence":{"key":"k","enabled":true}}
        ann, bob < ["1",null,"realtime:room","presence_state",{}]
        ann > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":"text"}]
        ann < ["1","2","realtime:room","phx_reply",{"status":"error","response":{"reason":"Presence track payload must be a map"}}]
        ann > ["1","3","realtime:room","presence",{"type":"presence","event":"track","payload":[1]}]
        ann < ["1","3","realtime:room","phx_reply",{"status":"error","response":{"reason":"Presence track payload must be a map"}}]
        ann > ["1","4","realtime:room","presence",{"type":"presence","event":"dance"}]
        ann < ["1","4","realtime:room","phx_reply",{"status":"error","response":{}}]
        ann > ["1","5","realtime:room","presence",{"type":"presence"}]
        ann < ["1","5","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_key_may_be_a_number_and_no_key_is_a_new_one_per_join() {
    let world = World::with(|settings| settings.presence.coalesce = Duration::ZERO).await;
    let mut bob = member(&world, json!("bob")).await;
    let mut seen = Vec::new();
    for key in [json!(42), json!(""), json!(""), json!(null)] {
        let mut ann = member(&world, key).await;
        ann.push("2", ROOM, "presence", &track(json!({}))).await;
        let diff = bob.next_json().await;
        let joins = diff[4]["joins"].as_object().expect("a diff").clone();
        seen.extend(joins.into_iter().map(|(key, _)| key));
        drop(ann);
        assert_eq!(bob.next_json().await[4]["joins"], json!({}));
    }
    assert_eq!(seen[0], "42");
    for uuid in &seen[1..] {
        assert_eq!((uuid.len(), uuid.matches('-').count()), (36, 4), "{uuid}");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "{seen:?}");
    world.stop().await;
}

#[tokio::test]
async fn refs_are_the_servers_own_and_unique() {
    let world = World::with(|settings| settings.presence.coalesce = Duration::ZERO).await;
    let (mut ann, mut bob) = (member(&world, json!("ann")).await, member(&world, json!("bob")).await);
    let mine =
        json!({"phx_ref": "mine", "phx_ref_prev": "mine too", "user": "a", "deep": {"phx_ref": "stays"}});
    ann.push("2", ROOM, "presence", &track(mine)).await;
    bob.push("2", ROOM, "presence", &track(json!({}))).await;
    ann.settle().await;
    bob.settle().await;
    let seen = diffs(&mut bob).await;
    let meta =
        |key: &str| seen.iter().find_map(|diff| diff["joins"][key]["metas"].get(0)).expect("a meta").clone();
    let (ann_meta, bob_meta) = (meta("ann"), meta("bob"));
    assert_ne!(ann_meta["phx_ref"], "mine");
    assert!(ann_meta["phx_ref"].as_str().is_some_and(|text| !text.is_empty()), "{ann_meta}");
    assert_ne!(ann_meta["phx_ref"], bob_meta["phx_ref"]);
    assert_eq!(ann_meta.get("phx_ref_prev"), None);
    assert_eq!((&ann_meta["user"], &ann_meta["deep"]), (&json!("a"), &json!({"phx_ref": "stays"})));
    world.stop().await;
}
