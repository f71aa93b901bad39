//! What ends a session that was open, and what it must not hold up.

use harness::WAIT_MAX;
use realtime_server::tenants::database::log::{LogError, LogEvent};
use rustix::process::Signal;

use crate::reader::{cluster, database, end, next, next_body, open, options};

#[tokio::test]
async fn a_publication_that_is_gone_ends_the_session_at_the_next_change() {
    let postgres = database();
    let mut session = open(&options(&postgres)).await;
    postgres.sql("DROP PUBLICATION messages; INSERT INTO messages VALUES ('one')");
    let (error, bodies) = end(&mut session, WAIT_MAX).await;
    assert!(matches!(&error, LogError::PublicationMissing(text) if text.contains("messages")), "{error}");
    assert!(bodies.is_empty());
}

#[tokio::test]
async fn a_row_that_is_too_large_ends_the_session_and_what_was_before_is_read() {
    let postgres = database();
    let mut session = open(&options(&postgres)).await;
    postgres.sql("INSERT INTO messages VALUES ('small'), (repeat('x', 2 << 20))");
    let (error, bodies) = end(&mut session, WAIT_MAX).await;
    assert!(
        matches!(error, LogError::TooLarge { bytes, max } if bytes > 2 << 20 && max == 1 << 20),
        "{error}"
    );
    assert_eq!(bodies, ["small"]);
}

// PostgreSQL does not stop before its readers have confirmed everything.
#[tokio::test]
async fn a_database_that_stops_does_not_wait_for_a_reader_that_confirms() {
    let postgres = cluster(&[]);
    let mut session = open(&options(&postgres)).await;
    postgres.sql("INSERT INTO messages VALUES ('one')");
    assert_eq!(next_body(&mut session).await, "one");
    let stopping = tokio::task::spawn_blocking(move || postgres.end(Signal::INT));
    let reading = async {
        loop {
            match session.next().await {
                Ok(LogEvent::KeepAlive { wal_end }) => session.confirm(wal_end),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(WAIT_MAX * 2, reading).await.expect("it stops in time");
    assert!(matches!(error, LogError::Closed), "{error}");
    stopping.await.expect("it has stopped");
}

#[tokio::test]
async fn what_is_confirmed_is_reported() {
    let postgres = database();
    let options = options(&postgres);
    let mut session = open(&options).await;
    postgres.sql("INSERT INTO messages VALUES ('one')");
    let written = postgres.sql("SELECT pg_current_wal_lsn()");
    let confirmed = format!(
        "SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots WHERE slot_name = '{}'",
        options.slot
    );
    assert_eq!(postgres.sql(&confirmed), "f");
    while postgres.sql(&confirmed) == "f" {
        if let LogEvent::KeepAlive { wal_end } = next(&mut session).await {
            session.confirm(wal_end);
        }
    }
}
