//! Several nodes and several databases: each message is delivered once, and another node takes over.

use harness::{Client, Dialect, Postgres, Redis, Token, World, eventually};

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
    let notice = next(&mut bob).await;
    assert_eq!(notice["payload"]["message"], "Messages from the database may have been missed", "{notice}");
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

/// A V1 client of the tenant `acme`, in its public room.
async fn ready_in_acme(world: &World) -> Client {
    let token = world.tenant_token_issuer("acme").token(Token::Valid);
    let target = format!("/realtime/v1/websocket?tenant=acme&apikey={token}&vsn=1.0.0");
    let mut client = world.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds");
    join_ready(&mut client, false).await;
    client
}

// The second one found the lock taken, and its members received nothing.
#[tokio::test]
async fn two_tenants_with_one_database_both_receive() {
    let redis = Redis::start().await;
    let postgres = Postgres::start();
    let (database, url) = (postgres.url(), redis.url());
    let share = |settings: &mut settings::Settings| {
        settings.bus.redis_url = Some(url.clone().into());
        for tenant in ["default", "acme"] {
            settings.tenants.entry(tenant.into()).or_default().database.url = Some(database.clone().into());
        }
    };
    let one = PrivateRooms::with(postgres, share).await;
    let secret = one.world.tenant_token_issuer("acme").secret().to_owned();
    let add_secret = |settings: &mut settings::Settings| {
        settings.tenants.entry("acme".into()).or_default().auth.jwt_secret = Some(secret.clone().into());
    };
    one.world.apply(add_secret);
    let two = one
        .world
        .beside(|settings| {
            share(settings);
            add_secret(settings);
        })
        .await;
    let mut ann = v1(&one.world, &one.token("ann", 0)).await;
    join_ready(&mut ann, false).await;
    let mut bob = ready_in_acme(&one.world).await;
    let mut cas = ready_in_acme(&two).await;
    for number in 0..20 {
        one.postgres.sql(&format!("SELECT realtime.send('{{\"n\": {number}}}', 'e', 'room', false)"));
    }
    for number in 0..20 {
        for client in [&mut ann, &mut bob, &mut cas] {
            assert_eq!(broadcast(client).await["payload"]["n"], number);
        }
    }
    for client in [&mut ann, &mut bob, &mut cas] {
        client.expect_quiet().await;
    }
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    assert_eq!(one.postgres.sql(slots), "2", "one for each tenant");
    one.world.stop().await;
    two.stop().await;
}
