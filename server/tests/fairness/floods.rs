//! Heartbeats of the quiet tenant, while clients of another one, or without a token, send as fast as the server reads.

use std::net::SocketAddr;
use std::time::Duration;

use harness::{RawFrame, Token};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::heartbeats::Heartbeats;
use super::{Load, Program, alone};

/// Sends `first`, and then `repeated` again and again, as fast as the server reads; forgets what it answers.
async fn flood(address: SocketAddr, first: Vec<u8>, repeated: Vec<u8>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut answers, mut stream) = stream.into_split();
    stream.write_all(&first).await.expect("it reads");
    let discard = async { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await.map(|_end| ()) };
    let send = async { while stream.write_all(&repeated).await.is_ok() {} };
    let _ended = tokio::join!(discard, send);
}

/// How long the heartbeats of the quiet tenant take during `number` such floods, in order.
async fn heartbeats_during_floods(
    program: &Program,
    (first, repeated): (&[u8], &[u8]),
    number: usize,
) -> Vec<Duration> {
    let mut load = Load::default();
    for _ in 0..number {
        load.add(flood(program.world.address(), first.to_vec(), repeated.to_vec()));
    }
    let heartbeats = Heartbeats::start(program.world.address());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let latencies = heartbeats.stop();
    load.assert_running();
    latencies
}

/// Asserts that half of them are answered within `max`. The others are printed only: the load shares the processors with the
/// thread that measures, whose own delays are among them.
async fn check_median_during_floods(program: &Program, sent: (&[u8], &[u8]), number: usize, max: Duration) {
    let latencies = heartbeats_during_floods(program, sent, number).await;
    let [median, most, slowest] =
        [50, 90, 100].map(|percent| latencies[(latencies.len() - 1) * percent / 100]);
    println!(
        "{} heartbeats, half within {median:?}, nine in ten within {most:?}, all within {slowest:?}",
        latencies.len()
    );
    assert!(median < max, "{median:?}");
}

// hyper handles sixteen requests and wakes itself, and the runtime looked for input after 1,024 such turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_heartbeats_are_in_time_although_clients_without_a_token_send_many_requests_at_once() {
    let _alone = alone();
    let program = Program::start(&[]);
    let post = "POST /api/broadcast HTTP/1.1\r\nhost: x\r\nx-tenant: quiet\r\ncontent-type: application/json\r\n\
                content-length: 15\r\n\r\n{\"messages\":[]}";
    let sent: (&[u8], _) = (b"", post.repeat(100));
    check_median_during_floods(&program, (sent.0, sent.1.as_bytes()), 8, Duration::from_millis(100)).await;
}

// As above, with the 128 messages that a connection may have read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_heartbeats_are_in_time_although_clients_of_another_tenant_never_stop_to_send() {
    let _alone = alone();
    let program = Program::start(&[]);
    let first = joined_connection(&program);
    // The first is answered, which wakes the connection; the second is not, so that it has nothing to wait for.
    for message in [r#"[null,"1","phoenix","heartbeat",{}]"#, r#"["1",null,"realtime:busy","dance",{}]"#] {
        let message = RawFrame::text(message).encode().repeat(500);
        check_median_during_floods(&program, (&first, &message), 8, Duration::from_millis(100)).await;
    }
}

// Each had a turn of a millisecond before new input was looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_heartbeats_are_in_time_although_another_tenant_has_many_clients_that_send() {
    let _alone = alone();
    let program = Program::start(&[]);
    let first = joined_connection(&program);
    let message = RawFrame::text(r#"["1",null,"realtime:busy","dance",{}]"#).encode().repeat(500);
    check_median_during_floods(&program, (&first, &message), 200, Duration::from_millis(10)).await;
}

// A connection that has failed is read until its client closes it, at most `server.close_timeout`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_heartbeats_are_in_time_although_clients_of_another_tenant_send_after_they_have_failed() {
    let _alone = alone();
    let program = Program::start(&[]);
    // A frame without a mask, which ends a connection.
    let first = [&joined_connection(&program)[..], &[0x81, 0x01, b'x']].concat();
    check_median_during_floods(&program, (&first, &[0; 256 * 1024]), 60, Duration::from_millis(10)).await;
}

// The whole batch was parsed in one poll, which takes 60 ms here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_heartbeats_99_are_in_time_although_another_tenant_sends_large_batches() {
    let _alone = alone();
    let program = Program::start(&[]);
    // What serde_json reads the slowest.
    let nested = ["[".repeat(390_000), "]".repeat(390_000)].concat();
    let message = format!(r#"{{"topic":"busy","event":"e","payload":{{"a":{nested}}}}}"#);
    let body = format!(r#"{{"messages":[{}]}}"#, vec![message; 10].join(","));
    let request = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        program.world.token(Token::Valid),
        body.len()
    );
    let latencies = heartbeats_during_floods(&program, (b"", request.as_bytes()), 8).await;
    // Not the median: the clients send less than the server can parse.
    let late = latencies[latencies.len() * 99 / 100];
    println!("{} heartbeats, a hundredth of them later than {late:?}", latencies.len());
    assert!(late < Duration::from_millis(25), "{late:?}");
}

/// What a client sends to be connected and a member of a room.
fn joined_connection(program: &Program) -> Vec<u8> {
    let handshake = format!(
        "GET /socket/websocket?vsn=2.0.0&apikey={} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        program.world.token(Token::Valid)
    );
    let join = RawFrame::text(r#"["1","1","realtime:busy","phx_join",{}]"#).encode();
    [handshake.as_bytes(), &join].concat()
}
