//! Leases, and the removal of what expired nodes have stored.

use super::*;

#[tokio::test]
async fn a_node_that_leaves_is_removed_with_all_it_has_stored() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        ann.show("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        assert_eq!(bob.alive().await, [ANN, BOB]);
        ann.connection.leave().await.expect("left");
        assert_eq!(bob.alive().await, [BOB]);
        assert_eq!(bob.snapshots("a").await, []);
        if let Kind::Redis(redis) = &kind {
            let left = redis.keys("*").await.into_iter().filter(|key| key.contains(&ANN.to_string()));
            assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn expired_nodes_are_removed() {
    for kind in Kind::all().await {
        let bus = kind.bus(LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        ann.show("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        bob.show("a", SnapshotChange::Replace(snapshot("q", &[(1, "two")])), "whole").await;
        // The node is killed, and cannot announce it.
        drop(ann);
        assert_eq!(bob.snapshots("a").await.len(), 2, "a lease is not a connection");
        eventually("Ann is taken for dead", async || bob.alive().await == [BOB]).await;
        assert_eq!(bob.snapshots("a").await, [(BOB, snapshot("q", &[(1, "two")]))]);
        if let Kind::Redis(redis) = &kind {
            let left = redis.keys("*").await.into_iter().filter(|key| key.contains(&ANN.to_string()));
            assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_node_whose_lease_has_expired_gets_an_error() {
    for kind in Kind::all().await {
        let bus = kind.bus(LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        eventually("Ann is taken for dead", async || bob.alive().await == [BOB]).await;
        ann.connection.renew().await.expect_err("it is dead");
        drop(ann);
        // It may come back at any time, with a new connection.
        let mut ann = connect(&*bus, ANN).await;
        assert_eq!(ann.alive().await, [ANN, BOB]);
    }
}

#[tokio::test]
async fn a_new_connection_ends_what_was_shown_over_the_old_one() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        ann.show("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        ann.show("b", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        drop(ann);
        let mut ann = connect(&*bus, ANN).await;
        assert_eq!(bob.snapshots("a").await, []);
        ann.show("a", SnapshotChange::Replace(snapshot("p2", &[(2, "two")])), "whole").await;
        // Whoever tidies up after the old one does the new one no harm.
        assert_eq!(bob.alive().await, [ANN, BOB]);
        assert_eq!(ann.alive().await, [ANN, BOB]);
        assert_eq!(bob.snapshots("a").await, [(ANN, snapshot("p2", &[(2, "two")]))]);
        assert_eq!(bob.snapshots("b").await, []);
    }
}

// Whoever asks in the very moment must not take it for dead, and forget all it has shown.
#[tokio::test]
async fn a_node_is_alive_while_it_changes_its_connection() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        let changing = async {
            let mut connections = vec![ann];
            for _ in 0..100 {
                connections.push(connect(&*bus, ANN).await);
                connections.remove(0);
            }
        };
        let asking = async {
            loop {
                assert_eq!(bob.alive().await, [ANN, BOB]);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = changing => {}
            () = asking => {}
        }
    }
}

// Each attempt has an account of its own, and none may be taken for the last that was in use.
#[tokio::test]
async fn a_connection_that_could_not_be_had_leaves_the_old_one_to_be_ended() {
    let kind = Kind::Redis(Redis::start().await);
    let (Kind::Redis(redis), bus) = (&kind, kind.bus(LONG_LEASE)) else { unreachable!("it is a Redis") };
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    ann.show("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
    drop(ann);
    // For a while it takes nothing, as after a failover that went the wrong way.
    let _: String = redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for _ in 0..2 {
        assert!(matches!(bus.connect(ANN).await, Err(BusError::Unusable(_))));
    }
    let _: String = redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(bob.snapshots("a").await.len(), 1, "until it is back");
    let _ann = connect(&*bus, ANN).await;
    assert_eq!(bob.snapshots("a").await, []);
    assert_eq!(redis.keys("realtime:lease:*").await.len(), 2);
}

// Redis bounds what waits for a client that listens, and ends its connection. What is read has no such bound.
#[tokio::test]
async fn a_room_may_show_more_than_redis_keeps_for_those_who_listen() {
    let kind = Kind::Redis(Redis::start().await);
    let (Kind::Redis(redis), bus) = (&kind, kind.bus(LONG_LEASE)) else { unreachable!("it is a Redis") };
    let _: String = redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1"]).await;
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    bob.subscribe(&["a"]).await;
    let entries = (0..20).map(|id| (id, Bytes::from(vec![b'x'; 200_000]))).collect();
    let whole = StoredSnapshot { position: "p".into(), entries };
    ann.show("a", SnapshotChange::Replace(whole.clone()), "whole").await;
    assert_eq!(bob.snapshots("a").await, [(ANN, whole)]);
    assert_eq!(bob.hear(1).await, ["a: whole"]);
}

// What a dead connection still holds would overtake what its successor has said, at any time.
#[tokio::test]
async fn nothing_of_an_old_connection_is_heard_after_the_new_one() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let mut settings = settings::Bus { timeout: Duration::from_millis(500), ..settings::Bus::default() };
    settings.redis_url = Some(redis.url_at(proxy.address()).into());
    let far = bus::Redis::new(&settings).expect("settings that can be used").expect("an address");
    settings.redis_url = Some(redis.url().into());
    let near = bus::Redis::new(&settings).expect("settings that can be used").expect("an address");
    let (mut ann, mut bob) = (connect(&far, ANN).await, connect(&near, BOB).await);
    bob.subscribe(&["a"]).await;
    proxy.strand();
    let late = ann.connection.send(vec![said("a", "old")]).await;
    assert!(matches!(late, Err(BusError::TimedOut)), "{late:?}");
    drop(ann);
    let mut ann = connect(&far, ANN).await;
    ann.publish("a", "new").await;
    assert_eq!(bob.hear(1).await, ["a: new"]);
    proxy.mend();
    eventually("the old connections have ended", async || {
        let clients: String = redis.ask(&["CLIENT", "LIST"]).await;
        // Three of each, and the one that asks.
        clients.lines().count() == 7
    })
    .await;
    bob.hears_nothing().await;
}
