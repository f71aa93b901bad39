//! Leases, and the removal of what expired nodes have stored.

use super::*;

#[tokio::test]
async fn a_node_that_leaves_is_removed_with_all_it_has_stored() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        ann.store("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
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
        ann.store("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        bob.store("a", SnapshotChange::Replace(snapshot("q", &[(1, "two")])), "whole").await;
        // The node is killed, and cannot announce it.
        drop(ann);
        assert_eq!(bob.snapshots("a").await.len(), 1, "a lease is not a connection");
        eventually("Ann's lease has expired", async || bob.alive().await == [BOB]).await;
        let mut carl = connect(&*bus, CARL).await;
        assert_eq!(carl.snapshots("a").await, [(BOB, snapshot("q", &[(1, "two")]))]);
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
        eventually("Ann's lease has expired", async || bob.alive().await == [BOB]).await;
        ann.connection.renew().await.expect_err("the lease has expired");
        drop(ann);
        // It may come back at any time, with a new connection.
        let mut ann = connect(&*bus, ANN).await;
        assert_eq!(ann.alive().await, [ANN, BOB]);
    }
}

#[tokio::test]
async fn a_new_connection_removes_what_the_old_one_stored() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        ann.store("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        ann.store("b", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
        drop(ann);
        let mut ann = connect(&*bus, ANN).await;
        assert_eq!(bob.snapshots("a").await, []);
        ann.store("a", SnapshotChange::Replace(snapshot("p2", &[(2, "two")])), "whole").await;
        // Removing the old incarnation leaves the new one as it is.
        assert_eq!(bob.alive().await, [ANN, BOB]);
        assert_eq!(ann.alive().await, [ANN, BOB]);
        assert_eq!(bob.snapshots("a").await, [(ANN, snapshot("p2", &[(2, "two")]))]);
        assert_eq!(bob.snapshots("b").await, []);
    }
}

// A node that asks at that moment must not treat it as expired, and remove what it has stored.
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

// Each attempt has an incarnation of its own, and none may be taken for the last that was in use.
#[tokio::test]
async fn a_failed_connection_attempt_leaves_the_old_one_to_be_ended() {
    let kind = Kind::Redis(Redis::start().await);
    let (Kind::Redis(redis), bus) = (&kind, kind.bus(LONG_LEASE)) else { unreachable!("it is a Redis") };
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    ann.store("a", SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
    drop(ann);
    // For a while Redis accepts no writes, as after a failover to a replica.
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

// Redis bounds the output of a subscriber, and closes its connection. Replies to reads have no such bound.
#[tokio::test]
async fn a_snapshot_may_exceed_the_output_limit_of_subscribers() {
    let kind = Kind::Redis(Redis::start().await);
    let (Kind::Redis(redis), bus) = (&kind, kind.bus(LONG_LEASE)) else { unreachable!("it is a Redis") };
    let _: String = redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1"]).await;
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    bob.subscribe(&["a"]).await;
    let entries = (0..20).map(|id| (id, Bytes::from(vec![b'x'; 200_000]))).collect();
    let whole = StoredSnapshot { position: "p".into(), entries };
    ann.store("a", SnapshotChange::Replace(whole.clone()), "whole").await;
    assert_eq!(bob.snapshots("a").await, [(ANN, whole)]);
    assert_eq!(bob.receive(1).await, ["a: whole"]);
}

// Messages still in flight on a lost connection could arrive after those of the next one, at any time.
#[tokio::test]
async fn no_message_of_an_old_connection_arrives_after_the_new_one() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let mut settings = settings::Bus { timeout: Duration::from_millis(500), ..settings::Bus::default() };
    settings.redis_url = Some(redis.url_at(proxy.address()).into());
    let far = redis_bus(&settings);
    settings.redis_url = Some(redis.url().into());
    let near = redis_bus(&settings);
    let (mut ann, mut bob) = (connect(&far, ANN).await, connect(&near, BOB).await);
    bob.subscribe(&["a"]).await;
    proxy.strand();
    let late = ann.connection.send(vec![publish_command("a", "old")]).await;
    assert!(matches!(late, Err(BusError::TimedOut)), "{late:?}");
    drop(ann);
    let mut ann = connect(&far, ANN).await;
    ann.publish("a", "new").await;
    assert_eq!(bob.receive(1).await, ["a: new"]);
    proxy.mend();
    eventually("the old connections have ended", async || {
        let clients: String = redis.ask(&["CLIENT", "LIST"]).await;
        // Three of each, and the one that asks.
        clients.lines().count() == 7
    })
    .await;
    bob.receives_nothing().await;
}
