//! Keep-alive: how long an idle connection is kept, and that the head of a further request has its own deadline.

use std::time::Duration;

use harness::{World, eventually};
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
        // The behaviour depends on the time that passes.
        tokio::time::sleep(2 * HEAD).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_timeout() {
    let world = World::with(settings(Duration::from_millis(600))).await;
    let mut balancer = world.dial().await;
    balancer.write(REQUEST).await.expect("it is open");
    assert_eq!(balancer.response().await.status, 200);
    assert!(balancer.is_dropped().await);
    world.stop().await;
}

#[tokio::test]
async fn the_head_of_a_later_request_has_the_same_deadline_as_the_first() {
    let world = World::with(settings(Duration::from_secs(3_600))).await;
    let mut slow = world.dial().await;
    slow.write(REQUEST).await.expect("it is open");
    assert_eq!(slow.response().await.status, 200);
    // Part of the head follows the first response, and the rest never arrives.
    slow.write(b"GET /healthcheck HTTP/1.1\r\n").await.expect("it is open");
    assert!(slow.is_dropped().await);
    world.stop().await;
}

// Its socket was held for ever: neither a head nor a further request is awaited while a response is written.
#[tokio::test]
async fn a_client_that_does_not_read_its_responses_is_closed() {
    let world = World::with(|settings| {
        settings.server.keep_alive_timeout = Duration::from_secs(3_600);
        settings.outbox.stall_timeout = Duration::from_millis(300);
    })
    .await;
    let mut deaf = world.dial().await;
    let many = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
    deaf.write(&many).await.expect("it is open");
    eventually("only the socket of this request is open", async || {
        world.number("phoenix_connections_total").await == 1.0
    })
    .await;
    drop(deaf);
    world.stop().await;
}
