//! SIGTERM: first the load balancers are notified, then the listener closes, then the clients are disconnected one after
//! the other.

use std::time::{Duration, Instant};

use harness::{Client, Frame, LifecyclePhase, RawSocket, Request, TokenIssuer, Urgency, World, eventually};
use serde_json::json;
use tokio::net::TcpStream;

/// Longer than any test: only a higher urgency ends it.
const ENDLESS: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn before_the_drain_it_is_not_ready_and_serves_new_clients() {
    let world = World::with(|settings| settings.server.drain_delay = ENDLESS).await;
    let ready = world.send(Request::get("/readyz")).await;
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ready"})));
    let mut clients_in_room = world.conversation();
    clients_in_room.check("ann joins realtime:room").await;

    let drain = world.drain();
    eventually("it is not ready", async || world.send(Request::get("/readyz")).await.status == 503).await;
    let stopping = world.send(Request::get("/readyz")).await;
    assert_eq!((stopping.status, stopping.json()), (503, json!({"status": "stopping"})));
    assert_eq!(world.send(Request::get("/health")).await.status, 200, "it is alive");
    clients_in_room
        .check(
            r#"
            bob joins realtime:room
            ann joins realtime:other
            bob > ["1","2","realtime:room","broadcast",{"event":"late"}]
            ann < [null,null,"realtime:room","broadcast",{"event":"late"}]
            "#,
        )
        .await;

    drain.raise_urgency(Urgency::Soon);
    clients_in_room.check("ann, bob are closed 1012").await;
    drain.ended().await;
}

#[tokio::test]
async fn an_http_connection_is_not_kept_by_a_server_that_stops() {
    let world = World::with(|settings| settings.server.drain_delay = ENDLESS).await;
    let mut kept = world.dial().await;
    let drain = world.drain();
    eventually("it is not ready", async || world.send(Request::get("/readyz")).await.status == 503).await;
    kept.write(b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it still serves");
    assert!(kept.is_dropped().await, "after its response, although the client did not ask for that");
    drain.raise_urgency(Urgency::Soon);
    drain.ended().await;
}

#[tokio::test]
async fn clients_are_disconnected_evenly() {
    let world = World::with(|settings| {
        settings.server.drain_delay = Duration::ZERO;
        settings.server.drain_timeout = Duration::from_secs(1);
    })
    .await;
    let mut leaving = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(world.connect().await);
    }
    let drain = world.drain();
    let began = Instant::now();
    for mut client in clients {
        leaving.push(tokio::spawn(async move {
            assert_eq!(client.drain_to_close().await, Some(1012));
            began.elapsed()
        }));
    }
    let mut times = Vec::new();
    for one in leaving {
        times.push(one.await.expect("a close"));
    }
    drain.ended().await;
    times.sort();
    // A machine that stands still for a while delays all clients; nothing makes one earlier.
    for (number, time) in times.iter().enumerate() {
        let earliest = Duration::from_millis(25 * number as u64).saturating_sub(Duration::from_millis(150));
        assert!(*time >= earliest, "client {number} of 40 was disconnected after {time:?}: {times:?}");
    }
    // By default it is ten seconds.
    assert!(times[39] < Duration::from_secs(8), "{times:?}");
}

/// Two clients, of which the first is disconnected already and the other will be much later.
async fn halfway(world: &World) -> (Client, harness::Drain) {
    let mut first = world.connect().await;
    let second = world.connect().await;
    let drain = world.drain();
    assert_eq!(first.drain_to_close().await, Some(1012));
    (second, drain)
}

fn slow_drain(settings: &mut settings::Settings) {
    settings.server.drain_delay = Duration::ZERO;
    settings.server.drain_timeout = ENDLESS;
}

#[tokio::test]
async fn once_clients_are_being_disconnected_none_joins_and_none_connects() {
    let world = World::with(slow_drain).await;
    let (mut second, drain) = halfway(&world).await;
    assert!(TcpStream::connect(world.address()).await.is_err(), "the port is closed");
    second.push("1", "realtime:room", "phx_join", &json!({"config": {}})).await;
    let reason = "RealtimeRestarting: Realtime is restarting, please standby";
    assert_eq!(
        second.next_json().await,
        json!(["1", "1", "realtime:room", "phx_reply", {"status": "error", "response": {"reason": reason}}])
    );
    drain.raise_urgency(Urgency::Soon);
    assert_eq!(second.next().await, Frame::Closed(1012), "a higher urgency disconnects all clients");
    drop(second);
    drain.ended().await;
}

#[tokio::test]
async fn a_member_can_publish_until_it_is_disconnected() {
    let world = World::with(slow_drain).await;
    let mut first = world.connect().await;
    let mut clients_in_room = world.conversation();
    clients_in_room.check("ann, bob join realtime:room").await;
    let drain = world.drain();
    assert_eq!(first.drain_to_close().await, Some(1012));
    clients_in_room
        .check(
            r#"
            bob > ["1","2","realtime:room","broadcast",{"event":"still here"}]
            ann < [null,null,"realtime:room","broadcast",{"event":"still here"}]
            "#,
        )
        .await;
    drain.raise_urgency(Urgency::Soon);
    clients_in_room.check("ann, bob are closed 1012").await;
    drain.ended().await;
}

#[tokio::test]
async fn with_the_highest_urgency_no_client_is_awaited() {
    let world = World::with(|settings| settings.server.shutdown_timeout = ENDLESS).await;
    // Never answers the close frame, and never closes the connection.
    let silent = world.raw().await;
    let drain = world.drain();
    drain.raise_urgency(Urgency::Immediate);
    drain.ended().await;
    drop(silent);
}

// The drain does not take its time for clients that have left by themselves.
#[tokio::test]
async fn a_drain_without_clients_ends_at_once() {
    let world = World::with(slow_drain).await;
    drop(world.connect().await);
    eventually("it has gone", async || {
        world.send(Request::get("/health")).await.json()["connections"] == json!(0)
    })
    .await;
    world.drain().ended().await;
}

const OPERATORS_SECRET: &str = "the operators' secret, of thirty-two bytes";

/// A connection with the first line of a request for `/status`. The server keeps it while it drains.
async fn status_begun(world: &World) -> RawSocket {
    let mut connection = world.dial().await;
    connection.write(b"GET /status HTTP/1.1\r\n").await.expect("the server listens");
    // It has been read when a later request on another connection is answered.
    assert_eq!(world.send(Request::get("/healthcheck")).await.status, 200);
    connection
}

/// Finishes the request, and returns the phase that its answer names.
async fn phase(mut begun: RawSocket) -> String {
    let operator = TokenIssuer::new(OPERATORS_SECRET).sign(&json!({"exp": 4_000_000_000_u64}));
    let rest = format!("host: x\r\nauthorization: Bearer {operator}\r\n\r\n");
    begun.write(rest.as_bytes()).await.expect("the server still reads");
    begun.response().await.json()["phase"].as_str().expect("a phase").to_owned()
}

#[tokio::test]
async fn status_shows_each_phase_of_a_drain() {
    let world = World::with(|settings| {
        settings.admin.jwt_secret = Some(OPERATORS_SECRET.into());
        settings.server.drain_delay = ENDLESS;
        settings.server.drain_timeout = ENDLESS;
    })
    .await;
    let node = world.node();
    assert_eq!(phase(status_begun(&world).await).await, "serving");
    let mut client = world.connect().await;
    let drain = world.drain();
    node.lifecycle.token(LifecyclePhase::NotReady).cancelled().await;
    assert_eq!(phase(status_begun(&world).await).await, "not ready");
    assert_eq!(world.send(Request::get("/readyz")).await.status, 503);
    drain.raise_urgency(Urgency::Soon);
    assert_eq!(client.drain_to_close().await, Some(1012));
    drain.ended().await;
    assert_eq!(node.lifecycle.phase(), LifecyclePhase::Stopped);
}

// The listener is closed by then, so the requests come over connections that were opened before.
#[tokio::test]
async fn status_shows_that_clients_are_being_disconnected_and_that_the_last_ones_are_awaited() {
    let world = World::with(|settings| {
        slow_drain(settings);
        settings.admin.jwt_secret = Some(OPERATORS_SECRET.into());
        settings.server.shutdown_timeout = ENDLESS;
        settings.server.close_timeout = ENDLESS;
    })
    .await;
    let node = world.node();
    let (draining, stopping) = (status_begun(&world).await, status_begun(&world).await);
    let mut first = world.connect().await;
    // Never answers the close frame.
    let silent = world.raw().await;
    let drain = world.drain();
    assert_eq!(first.drain_to_close().await, Some(1012));
    assert_eq!(phase(draining).await, "draining");
    drain.raise_urgency(Urgency::Soon);
    node.lifecycle.token(LifecyclePhase::Stopping).cancelled().await;
    assert_eq!(phase(stopping).await, "stopping");
    drain.raise_urgency(Urgency::Immediate);
    drain.ended().await;
    drop(silent);
}
