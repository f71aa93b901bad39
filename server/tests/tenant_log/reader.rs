//! A session on a database of the harness, and what it reads.

use std::net::SocketAddr;
use std::time::Duration;

use harness::{Postgres, WAIT_MAX};
use realtime_server::tenants::database::log::{
    LogError, LogEvent, LogOptions, LogSession, LogTls, SlotSource,
};
use tokio::time::timeout;
use wire::pgoutput::{LogMessage, Value, decode};

pub const PUBLICATION: &str = "messages";

/// What the tests read from: an empty table in a publication.
const TABLE: &str = "CREATE TABLE messages (body text); CREATE PUBLICATION messages FOR TABLE messages";

/// A database with the table, in a cluster that other tests use.
pub fn database() -> Postgres {
    let postgres = Postgres::start();
    postgres.sql(TABLE);
    postgres
}

/// A cluster of its own with the table: for tests that set what holds for all databases, or keep a transaction open, for
/// which each new slot of the cluster waits.
pub fn cluster(settings: &[&str]) -> Postgres {
    let postgres = Postgres::alone(settings);
    postgres.sql(TABLE);
    postgres
}

/// The options of a session by the superuser.
pub fn options(postgres: &Postgres) -> LogOptions {
    options_at(postgres, postgres.address())
}

/// As [`options`], through a proxy at `address`.
pub fn options_at(postgres: &Postgres, address: SocketAddr) -> LogOptions {
    let url = postgres.url();
    let (_, database) = url.rsplit_once('/').expect("a URL with a database");
    LogOptions {
        host: address.ip().to_string(),
        port: address.port(),
        user: "postgres".into(),
        password: "".into(),
        database: database.into(),
        tls: LogTls::Off,
        application_name: "realtime_replication_connection",
        slot: format!("{database}_slot"),
        publications: vec![PUBLICATION.into()],
        source: SlotSource::LogEnd,
        lock_key: 11,
        connect_timeout: WAIT_MAX,
        slot_timeout: WAIT_MAX,
        message_bytes_max: 1 << 20,
        queue_bytes: 64 << 10,
    }
}

pub async fn open(options: &LogOptions) -> LogSession {
    LogSession::open(options).await.expect("a session")
}

/// Why no session can be opened.
pub async fn refusal(options: &LogOptions) -> LogError {
    LogSession::open(options).await.expect_err("no session")
}

/// The next event of a session that is open.
pub async fn next(session: &mut LogSession) -> LogEvent {
    timeout(WAIT_MAX, session.next()).await.expect("an event in time").expect("an open session")
}

/// Reads until the session ends. Returns why, and the bodies of the rows before.
pub async fn end(session: &mut LogSession, limit: Duration) -> (LogError, Vec<String>) {
    let mut bodies = Vec::new();
    let reading = async {
        loop {
            match session.next().await {
                Ok(event) => bodies.extend(first_value(&event)),
                Err(error) => return error,
            }
        }
    };
    (timeout(limit, reading).await.expect("it ends in time"), bodies)
}

/// The first column of the next row that was inserted.
pub async fn next_body(session: &mut LogSession) -> String {
    loop {
        if let Some(body) = first_value(&next(session).await) {
            return body;
        }
    }
}

/// The first column of the row, if the event is an insertion.
pub fn first_value(event: &LogEvent) -> Option<String> {
    values(event)?.into_iter().next()
}

/// The columns of the row as text, if the event is an insertion.
pub fn values(event: &LogEvent) -> Option<Vec<String>> {
    let LogEvent::Message { bytes, .. } = event else { return None };
    let LogMessage::Insert(insert) = decode(bytes).expect("a message of pgoutput") else { return None };
    let text = |value| match value {
        Value::Text(text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
        other => format!("{other:?}"),
    };
    Some(insert.new.values().map(text).collect())
}
