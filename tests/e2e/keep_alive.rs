//! Connections that are kept for another request: for how long, and that a request's head still comes in time.

use std::time::Duration;

use harness::World;
use settings::Settings;

const REQUEST: &[u8] = b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n";

const HEAD: Duration = Duration::from_millis(200);

fn settings(keep_alive: Duration) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.server.handshake_timeout = HEAD;
        settings.server.keep_alive_timeout = keep_alive;
    }
}

#[tokio::test]
async fn a_connection_is_kept_longer_than_a_head_may_take() {
    let world = World::with(settings(Duration::from_secs(3_600))).await;
    let mut balancer = world.dial().await;
    for _ in 0..3 {
        balancer.write(REQUEST).await.expect("it is open");
        assert_eq!(balancer.response().await.status, 200);
        // Time itself is what this is about.
        tokio::time::sleep(2 * HEAD).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_its_time() {
    let world = World::with(settings(Duration::from_millis(600))).await;
    let mut balancer = world.dial().await;
    balancer.write(REQUEST).await.expect("it is open");
    assert_eq!(balancer.response().await.status, 200);
    assert!(balancer.is_dropped().await);
    world.stop().await;
}

#[tokio::test]
async fn the_head_of_a_later_request_has_no_more_time_than_that_of_the_first() {
    let world = World::with(settings(Duration::from_secs(3_600))).await;
    let mut slow = world.dial().await;
    slow.write(REQUEST).await.expect("it is open");
    assert_eq!(slow.response().await.status, 200);
    // With the answer to the first: what of the second comes later is not waited for either.
    slow.write(b"GET /healthcheck HTTP/1.1\r\n").await.expect("it is open");
    assert!(slow.is_dropped().await);
    world.stop().await;
}
