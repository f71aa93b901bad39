//! A tenant whose database is a standby: changes are read there, as the standby receives them (PostgreSQL 16 and newer).

use harness::{Postgres, Request, World, eventually};

use super::numbered::{Receipt, Subscriber};
use super::{Changes, ROWS_OF_ANN, TABLES};
use crate::private_rooms::PrivateRooms;

#[tokio::test]
async fn changes_are_read_from_a_standby_when_it_has_them() {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), |_| {}).await;
    let PrivateRooms { world, postgres: primary } = rooms;
    world.stop().await;
    primary.sql(TABLES);
    primary.sql(ROWS_OF_ANN);
    let Some(standby) = primary.decoding_standby() else { return };
    let url = standby.url();
    let world = World::with(|settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    })
    .await;
    let changes = Changes { rooms: PrivateRooms { world, postgres: standby } };
    let mut ann = Subscriber::joined(&changes, "ann").await;
    // A slot of a standby begins where the primary says which transactions run, which it does now and then.
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name NOT LIKE '%messages%'";
    eventually("the slot is made", async || {
        primary.sql("SELECT pg_log_standby_snapshot()");
        changes.postgres().sql(slots) == "1"
    })
    .await;
    ann.until(&Receipt::Subscribed).await;
    ann.until_written(&primary, 1).await;
    // One that is not caught up.
    changes.postgres().sql("SELECT pg_wal_replay_pause()");
    for number in 2..=20 {
        primary.sql(&format!("INSERT INTO public.todos (id) VALUES ({number})"));
    }
    ann.client.expect_quiet().await;
    changes.postgres().sql("SELECT pg_wal_replay_resume()");
    ann.until(&Receipt::Row(20)).await;
    ann.assert_complete(&primary);
    // The reader looks at its slot every ten seconds.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    ann.until_written(&primary, 21).await;
    assert!(!ann.receipts.contains(&Receipt::Gap), "{:?}", ann.receipts);
    let metrics = changes.world().send(Request::get("/metrics")).await.text();
    assert!(!metrics.contains("ReplicationSlotCheckSkipped"), "how far the slot is can be found out");
    changes.rooms.world.stop().await;
}
