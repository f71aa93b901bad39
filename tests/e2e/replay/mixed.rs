//! Private rooms that keep broadcasts, whose database has sent messages too.

use serde_json::{Value, json};

use super::database::{ann, id, replayed, send};
use super::{join, numbers};
use crate::private_rooms::PrivateRooms;

const ROOM: &str = "realtime:room";

#[tokio::test]
async fn the_messages_of_both_sources_come_in_the_order_of_their_times() {
    let rooms = PrivateRooms::with(harness::Postgres::start(), |settings| {
        let rooms = vec![settings::TopicPattern::new("room").expect("a pattern")];
        let history = settings::History { rooms, ..super::history() };
        settings.tenants.entry("default".into()).or_default().history = history;
    })
    .await;
    rooms.allow("ann", &["read broadcast"]);
    rooms.allow("bob", &["read broadcast", "write broadcast"]);
    let mut sender = super::database::v1_as(&rooms.world, &rooms.token("bob", 0)).await;
    let mut receiver = ann(&rooms).await;
    for client in [&mut sender, &mut receiver] {
        assert_eq!(join(client, ROOM, Value::Null, true).await["status"], "ok");
    }
    let mut kept = Vec::new();
    for n in [1, 3, 5] {
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": n}});
        sender.push("9", ROOM, "broadcast", &payload).await;
        loop {
            let message = receiver.next_json().await;
            if message["payload"]["payload"]["n"] == n {
                kept.push(
                    message["payload"]["meta"]["id"]
                        .as_str()
                        .unwrap_or_else(|| panic!("{message}"))
                        .to_owned(),
                );
                break;
            }
        }
        send(&rooms, n + 1..=n + 1);
    }
    let ask = async |replay: Value| replayed(&rooms, replay).await;
    assert_eq!(numbers(&ask(json!({"since": 0})).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&ask(json!({"since": 0, "limit": 3})).await), [4, 5, 6]);
    let both = json!({"after": [kept[1], id(&rooms, 4)]});
    assert_eq!(numbers(&ask(both).await), [5, 6]);
    rooms.world.stop().await;
}
