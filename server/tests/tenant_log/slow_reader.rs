//! A transaction that is larger than what the reader takes in time: no memory, no lost session, no lost row.

use std::fs;
use std::time::{Duration, Instant};

use harness::Postgres;

use crate::reader::{cluster, next_body, open, options};

const ROWS: usize = 200_000;

/// The transaction has more than 200 MB.
const ROW_BYTES: usize = 1_000;

/// What the process may have more in memory while the transaction waits.
const GROWTH_MAX: usize = 64 << 20;

/// Waits until `query` returns true.
fn until(postgres: &Postgres, query: &str) {
    let begun = Instant::now();
    while postgres.sql(query) != "t" {
        assert!(begun.elapsed() < Duration::from_secs(60), "does not hold in time: {query}");
    }
}

/// The most memory that this process had resident so far.
fn resident_peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("this process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a running process");
    peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_slower_than_the_database_loses_nothing() {
    let postgres = cluster(&["fsync=off"]);
    let mut session = open(&options(&postgres)).await;
    let before = resident_peak();
    postgres.sql(&format!(
        "INSERT INTO messages SELECT lpad(row::text, {ROW_BYTES}) FROM generate_series(1, {ROWS}) row"
    ));
    until(
        &postgres,
        "SELECT wait_event = 'WalSenderWriteData' FROM pg_stat_activity WHERE backend_type = 'walsender'",
    );
    // The reports go on for longer than the server waits for one.
    let now = postgres.sql("SELECT now()");
    until(
        &postgres,
        &format!("SELECT max(reply_time) > '{now}'::timestamptz + interval '6 s' FROM pg_stat_replication"),
    );
    for row in 1..=ROWS {
        assert_eq!(next_body(&mut session).await.trim_start(), row.to_string());
    }
    let grown = resident_peak() - before;
    assert!(grown < GROWTH_MAX, "{} MB more were resident", grown / 1_000_000);
}
