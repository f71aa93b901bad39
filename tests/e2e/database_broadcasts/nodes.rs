//! Several nodes and several databases: each message is delivered once, and another node takes over.

use std::time::{Duration, Instant};

use harness::{Postgres, Redis, eventually};

use super::{broadcast, join_ready, next, v1};
use crate::private_rooms::PrivateRooms;

#[tokio::test]
async fn one_node_reads_for_all_and_another_takes_over() {
    let redis = Redis::start().await;
    let url = redis.url();
    let one =
        PrivateRooms::with(Postgres::start(), |settings| settings.bus.redis_url = Some(url.clone().into()))
            .await;
    let database = one.postgres.url();
    let two = one
        .world
        .beside(|settings| {
            settings.bus.redis_url = Some(url.clone().into());
            settings.tenants.entry("default".into()).or_default().database.url =
                Some(database.clone().into());
        })
        .await;
    one.allow("ann", &["read broadcast"]);
    let mut ann = v1(&one.world, &one.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    let mut bob = v1(&two, &one.token("ann", 0)).await;
    join_ready(&mut bob, true).await;
    for number in 0..20 {
        one.postgres.sql(&format!("SELECT realtime.send('{{\"n\": {number}}}', 'e', 'room')"));
    }
    for number in 0..20 {
        assert_eq!(broadcast(&mut ann).await["payload"]["n"], number);
        assert_eq!(broadcast(&mut bob).await["payload"]["n"], number);
    }
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    assert_eq!(one.postgres.sql(slots), "1");
    let PrivateRooms { world, postgres } = one;
    world.stop().await;
    let stopped = Instant::now();
    let notice = next(&mut bob).await;
    assert_eq!(notice["payload"]["message"], "Messages from the database may have been missed", "{notice}");
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    postgres.sql("SELECT realtime.send('{}', 'after', 'room')");
    assert_eq!(broadcast(&mut bob).await["event"], "after");
    two.stop().await;
}

#[tokio::test]
async fn nodes_without_a_bus_read_for_themselves() {
    let one = PrivateRooms::start().await;
    let database = one.postgres.url();
    let two = one
        .world
        .beside(|settings| {
            settings.tenants.entry("default".into()).or_default().database.url =
                Some(database.clone().into());
        })
        .await;
    one.allow("ann", &["read broadcast"]);
    let mut ann = v1(&one.world, &one.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    let mut bob = v1(&two, &one.token("ann", 0)).await;
    join_ready(&mut bob, true).await;
    one.postgres.sql("SELECT realtime.send('{}', 'to both', 'room')");
    for client in [&mut ann, &mut bob] {
        assert_eq!(broadcast(client).await["event"], "to both");
        client.expect_quiet().await;
    }
    one.world.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn two_databases_of_one_server_are_both_read() {
    let (one, two) = (PrivateRooms::start().await, PrivateRooms::start().await);
    assert_eq!(one.postgres.address(), two.postgres.address(), "they share a server");
    for rooms in [&one, &two] {
        rooms.allow("ann", &["read broadcast"]);
        let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
        join_ready(&mut ann, true).await;
        rooms.postgres.sql("SELECT realtime.send('{}', 'own', 'room')");
        assert_eq!(broadcast(&mut ann).await["event"], "own");
    }
    let slots = "SELECT count(DISTINCT slot_name) FROM pg_replication_slots";
    eventually("each has a slot", async || {
        one.postgres.sql(slots).parse::<u32>().is_ok_and(|slots| slots >= 2)
    })
    .await;
    one.world.stop().await;
    two.world.stop().await;
}
