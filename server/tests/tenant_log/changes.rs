//! What a session reads: rows in the order of commits, in formats that do not depend on the database.

use harness::Postgres;
use wire::pgoutput::{LogMessage, Lsn, decode};

use crate::reader::{cluster, database, next, next_body, open, options, values};
use realtime_server::tenants::database::log::LogEvent;

#[tokio::test]
async fn transactions_come_in_the_order_of_their_commits() {
    let postgres = cluster(&[]);
    let mut session = open(&options(&postgres)).await;
    let (mut slow, mut quick) = (postgres.session(), postgres.session());
    slow.run("BEGIN; INSERT INTO messages VALUES ('second'), ('third')");
    quick.run("BEGIN; INSERT INTO messages VALUES ('first'); COMMIT");
    slow.run("COMMIT");
    quick.run("BEGIN; INSERT INTO messages VALUES ('never'); ROLLBACK");
    quick.run("INSERT INTO messages VALUES ('fourth')");
    for expected in ["first", "second", "third", "fourth"] {
        assert_eq!(next_body(&mut session).await, expected);
    }
}

#[tokio::test]
async fn rows_are_between_the_beginning_and_the_end_of_their_transaction() {
    let postgres = database();
    let mut session = open(&options(&postgres)).await;
    postgres.sql("INSERT INTO messages VALUES ('one')");
    let (mut kinds, mut final_lsn, mut commit_lsn) = (String::new(), None, None);
    while commit_lsn.is_none() {
        let LogEvent::Message { bytes, .. } = next(&mut session).await else { continue };
        kinds.push(char::from(bytes[0]));
        match decode(&bytes).unwrap() {
            LogMessage::Begin(begin) => final_lsn = Some(begin.final_lsn),
            LogMessage::Commit(commit) => commit_lsn = Some(commit.lsn),
            _ => {}
        }
    }
    assert_eq!(kinds, "BRIC");
    assert_eq!(final_lsn, commit_lsn);
    assert!(commit_lsn > Some(Lsn(0)));
}

#[tokio::test]
async fn several_publications_are_read_whatever_their_names_are() {
    let postgres = database();
    postgres.sql(
        "CREATE TABLE others (body text); CREATE PUBLICATION \"Other's, and \"\"more\"\"\" FOR TABLE others",
    );
    let mut options = options(&postgres);
    options.publications.push("Other's, and \"more\"".into());
    let mut session = open(&options).await;
    postgres.sql("INSERT INTO messages VALUES ('one'); INSERT INTO others VALUES ('two')");
    assert_eq!(next_body(&mut session).await, "one");
    assert_eq!(next_body(&mut session).await, "two");
}

#[tokio::test]
async fn values_do_not_depend_on_the_settings_of_the_database() {
    let postgres = Postgres::alone(&[]);
    postgres.sql(
        "CREATE TABLE messages (at timestamptz, span interval, number float8, bytes bytea);
         CREATE PUBLICATION messages FOR TABLE messages;
         ALTER DATABASE postgres SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE postgres SET DateStyle = 'SQL, DMY';
         ALTER DATABASE postgres SET IntervalStyle = 'iso_8601'; ALTER DATABASE postgres SET bytea_output = 'escape';
         ALTER ROLE postgres SET extra_float_digits = -10; ALTER ROLE postgres SET wal_sender_timeout = '1h'",
    );
    let mut session = open(&options(&postgres)).await;
    postgres.sql(
        "INSERT INTO messages VALUES ('2026-02-03 04:05:06+00', '1 day 2 hours', 0.1::float8 + 0.2::float8, '\\x00ff')",
    );
    let row = loop {
        if let Some(row) = values(&next(&mut session).await) {
            break row;
        }
    };
    assert_eq!(row, ["2026-02-03 04:05:06+00", "1 day 02:00:00", "0.30000000000000004", "\\x00ff"]);
}

// The timeouts of the session are those of one that is not heard of: one where nothing happens stays.
#[tokio::test]
async fn a_session_where_nothing_happens_stays_open() {
    let postgres = database();
    let mut session = open(&options(&postgres)).await;
    let mut kept_alive = 0;
    while kept_alive < 6 {
        kept_alive += usize::from(matches!(next(&mut session).await, LogEvent::KeepAlive { .. }));
    }
    postgres.sql("INSERT INTO messages VALUES ('after a while')");
    assert_eq!(next_body(&mut session).await, "after a while");
}
