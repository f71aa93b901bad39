//! One session at a time reads: the lock, and when it is free again.

use std::time::{Duration, Instant};

use harness::{ChaosProxy, WAIT_MAX, eventually};
use realtime_server::tenants::database::log::{LogError, LogOptions, LogSession, SERVER_TIMEOUT};

use crate::reader::{cluster, database, end, next_body, open, options, options_at, refusal};

/// Opens a session as soon as there is no other reader.
async fn take_over(options: &LogOptions, limit: Duration) -> LogSession {
    let begun = Instant::now();
    loop {
        match LogSession::open(options).await {
            Ok(session) => return session,
            Err(LogError::OtherReader) => assert!(begun.elapsed() < limit, "the lock is still taken"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn only_one_session_reads() {
    let postgres = database();
    let options = options(&postgres);
    let first = open(&options).await;
    assert!(matches!(refusal(&options).await, LogError::OtherReader));
    drop(first);
    let mut second = take_over(&options, Duration::from_secs(2)).await;
    postgres.sql("INSERT INTO messages VALUES ('for the second')");
    assert_eq!(next_body(&mut second).await, "for the second");
}

#[tokio::test]
async fn a_session_on_a_broken_network_loses_the_lock() {
    let postgres = database();
    let proxy = ChaosProxy::to(postgres.address()).await;
    let mut first = open(&options_at(&postgres, proxy.address())).await;
    postgres.sql("INSERT INTO messages VALUES ('one')");
    assert_eq!(next_body(&mut first).await, "one");
    proxy.stick();
    let mut second = take_over(&options(&postgres), Duration::from_secs(6)).await;
    postgres.sql("INSERT INTO messages VALUES ('two')");
    assert_eq!(next_body(&mut second).await, "two");
    let (error, bodies) = end(&mut first, Duration::from_secs(15)).await;
    assert!(matches!(error, LogError::Silent), "{error}");
    assert!(bodies.is_empty(), "{bodies:?}");
}

// A process that is stopped runs neither the reader nor the task. So does one whose only thread waits.
#[tokio::test(flavor = "current_thread")]
async fn what_was_received_before_a_process_was_stopped_is_dropped() {
    let postgres = database();
    let mut session = open(&options(&postgres)).await;
    assert!(session.is_current());
    let longer = SERVER_TIMEOUT + Duration::from_secs(1);
    postgres.sql("INSERT INTO messages VALUES ('old news')");
    postgres.sql(&format!("SELECT pg_sleep({})", longer.as_secs()));
    assert!(!session.is_current());
    let (error, bodies) = end(&mut session, WAIT_MAX).await;
    assert!(matches!(error, LogError::Stopped), "{error}");
    assert!(bodies.is_empty(), "{bodies:?}");
    take_over(&options(&postgres), Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_session_that_is_ended_by_an_administrator_is_closed() {
    let postgres = cluster(&[]);
    let mut session = open(&options(&postgres)).await;
    postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'realtime_replication_connection'",
    );
    let (error, _) = end(&mut session, WAIT_MAX).await;
    assert!(matches!(error, LogError::Closed), "{error}");
    let again = session.next().await;
    assert!(matches!(again, Err(LogError::Closed)), "{again:?}");
}

#[tokio::test]
async fn a_session_leaves_neither_a_slot_nor_a_connection() {
    let postgres = cluster(&[]);
    let session = open(&options(&postgres)).await;
    assert_eq!(postgres.sql("SELECT temporary, active FROM pg_replication_slots"), "t|t");
    drop(session);
    eventually("it is gone", async || {
        postgres.sql(
            "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_replication)",
        ) == "0"
    })
    .await;
}
