//! Several nodes: the clients of each receive every change once.

use harness::{Dialect, Postgres, Redis};
use serde_json::json;

use super::{Changes, TABLES, expect_subscribed, join, record};
use crate::private_rooms::PrivateRooms;

#[tokio::test]
async fn clients_of_each_node_receive_every_change_once() {
    let redis = Redis::start().await;
    let url = redis.url();
    let rooms =
        PrivateRooms::with(Postgres::start(), |settings| settings.bus.redis_url = Some(url.clone().into()))
            .await;
    rooms.postgres.sql(TABLES);
    let database = rooms.postgres.url();
    let changes = Changes { rooms };
    let other = changes
        .world()
        .beside(|settings| {
            settings.bus.redis_url = Some(url.clone().into());
            settings.tenants.entry("default".into()).or_default().database.url = Some(database.into());
        })
        .await;
    let all = json!([{"schema": "public", "table": "todos"}]);
    let mut ann = changes.subscribed("ann", &all).await;
    let target = format!("/socket/websocket?apikey={}&vsn=1.0.0", changes.rooms.token("bob", 0));
    let mut bob = other.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds");
    join(&mut bob, &all).await;
    expect_subscribed(&mut bob).await;
    for id in 0..20 {
        changes.postgres().sql(&format!("INSERT INTO public.todos VALUES ({id}, 'x', 'ann')"));
    }
    for client in [&mut ann, &mut bob] {
        for id in 0..20 {
            assert_eq!(record(client).await["id"], id);
        }
        client.expect_quiet().await;
    }
    changes.rooms.world.stop().await;
    changes.rooms.postgres.sql("INSERT INTO public.todos VALUES (20, 'x', 'ann')");
    assert_eq!(record(&mut bob).await["id"], 20, "no other node is needed");
    other.stop().await;
}
