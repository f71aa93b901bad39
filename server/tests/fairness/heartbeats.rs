//! How long heartbeats of the quiet tenant take, measured from a thread of their own; and while another tenant broadcasts to
//! members who do not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::{RawFrame, Request, Token, TokenIssuer, World};
use serde_json::json;

use super::{Program, ROOM, SECRET, alone};

/// Heartbeats of the quiet tenant, one after the other, from a thread that does nothing else.
pub struct Heartbeats {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Heartbeats {
    /// Begins.
    pub fn start(address: SocketAddr) -> Heartbeats {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(measure_heartbeats(address, &ended))
        });
        Heartbeats { end, thread }
    }

    /// How long each took, in order.
    pub fn stop(self) -> Vec<Duration> {
        self.end.store(true, Ordering::Relaxed);
        let mut latencies = self.thread.join().expect("each heartbeat is answered");
        latencies.sort();
        latencies
    }
}

async fn measure_heartbeats(address: SocketAddr, ended: &AtomicBool) -> Vec<Duration> {
    let world = World::at(address, TokenIssuer::new(SECRET));
    let mut client = world.connect_for("quiet").await;
    client.join(ROOM, json!({})).await;
    let (mut latencies, mut interval) = (Vec::new(), tokio::time::interval(Duration::from_millis(2)));
    while !ended.load(Ordering::Relaxed) {
        interval.tick().await;
        let sent = Instant::now();
        client.settle().await;
        latencies.push(sent.elapsed());
    }
    latencies
}

// The kernel took 4 MB for each of them, as fast as the server could copy it, and no other connection had a turn before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_another_tenant_broadcasts_to_members_who_do_not_read() {
    let _alone = alone();
    let program = Program::start(&[]);
    let mut non_readers = Vec::new();
    for _ in 0..500 {
        let mut socket = program.world.raw().await;
        socket.send(&RawFrame::text(&json!(["1", "1", "realtime:busy", "phx_join", {}]).to_string())).await;
        assert!(socket.next().await.is_some(), "the join is answered");
        non_readers.push(socket);
    }
    let heartbeats = Heartbeats::start(program.world.address());
    let message = json!({"topic": "busy", "event": "e", "payload": {"text": "x".repeat(1_000_000)}});
    for _ in 0..8 {
        let request = Request::post("/api/broadcast").bearer(&program.world.token(Token::Valid));
        let response = program.world.send(request.json(&json!({"messages": [message]}))).await;
        assert_eq!(response.status, 202, "within its limits: {}", response.text());
    }
    let latencies = heartbeats.stop();
    let slowest = latencies[latencies.len() - 1];
    println!("{} heartbeats, the slowest {slowest:?}", latencies.len());
    // Two gigabytes are copied in more than a second.
    assert!(slowest < Duration::from_millis(800), "{slowest:?}");
}
