//! Sessions and servers that end while rows are written: each subscriber has all of them, or is notified of a gap, and has none twice.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use harness::{Dialect, Postgres, PostgresSession, eventually};
use rustix::process::Signal;
use serde_json::json;

use super::numbered::{Receipt, Subscriber, write};
use super::{Changes, TABLES, expect_subscribed, record};
use crate::private_rooms::{PrivateRooms, operators};

/// A database in a cluster of its own.
async fn alone() -> Changes {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), |_| {}).await;
    rooms.postgres.sql(TABLES);
    Changes { rooms }
}

/// Ends or starts the cluster, while the server goes on.
async fn beside(postgres: &Postgres, work: impl FnOnce(Postgres) + Send + 'static) {
    let postgres = postgres.clone();
    tokio::task::spawn_blocking(move || work(postgres)).await.expect("no panic");
}

#[tokio::test]
async fn a_session_that_is_terminated_while_rows_are_written_is_replaced() {
    let changes = Changes::start().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let writing = write(changes.postgres(), 1..=1_000);
    for end in [
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime_rls' AND datname = current_database()",
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
         WHERE database = current_database() AND slot_name NOT LIKE '%messages%'",
        // What the server asks on: its connections are made again, and nothing is missed.
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime_connect' AND datname = current_database()",
    ] {
        changes.postgres().sql(end);
        if !end.contains("realtime_connect") {
            ann.until(&Receipt::Gap).await;
            ann.until(&Receipt::Subscribed).await;
        }
    }
    assert!(writing.await.expect("no panic"));
    ann.until_written(changes.postgres(), 1_001).await;
    ann.assert_complete(changes.postgres());
    let gaps = ann.receipts.iter().filter(|receipt| **receipt == Receipt::Gap).count();
    assert_eq!(gaps, 2, "{:?}", ann.receipts);
    changes.rooms.world.stop().await;
}

// As after a cut network, when the database has not noticed yet that the old session has ended.
#[tokio::test]
async fn who_subscribes_while_an_older_session_has_the_lock_waits_for_the_next_one() {
    let changes = Changes::start().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let lock = changes.postgres().sql(
        "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND application_name = 'realtime_rls' AND datname = current_database()",
    );
    let mut older = changes.postgres().session();
    older.run(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'realtime_rls' AND datname = current_database();
         SELECT pg_advisory_lock({lock});
         SELECT pg_create_logical_replication_slot('older_' || pg_backend_pid(), 'pgoutput', true)"
    ));
    let mut late = Subscriber::joined(&changes, "late").await;
    let looks = "SELECT query_start FROM pg_stat_activity
        WHERE application_name = 'realtime_connect' AND datname = current_database() AND query LIKE '%pg_locks%'";
    let mut seen = HashSet::new();
    eventually("it is looked whether the lock is free", async || {
        seen.extend(changes.postgres().sql(looks).lines().map(str::to_owned));
        seen.len() > 2
    })
    .await;
    late.assert_not_subscribed().await;
    drop(older);
    late.until(&Receipt::Subscribed).await;
    late.until_written(changes.postgres(), 1).await;
    ann.until(&Receipt::Gap).await;
    ann.until(&Receipt::Row(1)).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_database_that_is_stopped_or_killed_while_rows_are_written_is_read_again() {
    let changes = alone().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let mut first = 1;
    for signal in [Signal::INT, Signal::KILL] {
        let writing = write(changes.postgres(), first..=first + 10_000);
        ann.until(&Receipt::Row(first + 20)).await;
        beside(changes.postgres(), move |postgres| postgres.end(signal)).await;
        assert!(!writing.await.expect("no panic"), "the writer was ended");
        // Channels without changes work.
        let mut bob = changes.world().connect_as(Dialect::V2, harness::Token::Valid).await;
        bob.join("realtime:public", json!({})).await;
        let mut late = Subscriber::joined(&changes, "late").await;
        beside(changes.postgres(), |postgres| postgres.start_again()).await;
        ann.until(&Receipt::Gap).await;
        ann.until(&Receipt::Subscribed).await;
        late.until(&Receipt::Subscribed).await;
        let written = changes.postgres().sql("SELECT max(id) + 1 FROM public.todos");
        let next = written.parse().expect("a number");
        ann.until_written(changes.postgres(), next).await;
        ann.assert_complete(changes.postgres());
        late.until(&Receipt::Row(next)).await;
        first = next + 1;
    }
    let notices = ann.receipts.iter().filter(|receipt| matches!(receipt, Receipt::Notice(_))).count();
    assert!(notices <= 2, "more than one for each outage: {:?}", ann.receipts);
    changes.rooms.world.stop().await;
}

/// How long it may take after a restart until changes are received: a few short pauses, those of a first failure, and some for a
/// slow machine. Had the pauses grown with each restart, they would be 15 and 30 seconds.
const RETURN_MAX: Duration = Duration::from_secs(13);

#[tokio::test]
async fn a_database_that_is_restarted_again_and_again_is_read_again_as_soon() {
    let changes = alone().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let mut quickest = Duration::MAX;
    for restart in 1..=6 {
        beside(changes.postgres(), |postgres| postgres.end(Signal::INT)).await;
        beside(changes.postgres(), |postgres| postgres.start_again()).await;
        let started = Instant::now();
        ann.until(&Receipt::Gap).await;
        ann.until(&Receipt::Subscribed).await;
        ann.until_written(changes.postgres(), restart).await;
        if restart >= 5 {
            quickest = quickest.min(started.elapsed());
        }
    }
    assert!(quickest < RETURN_MAX, "{quickest:?}");
    ann.assert_complete(changes.postgres());
    changes.rooms.world.stop().await;
}

/// Takes what the question for the rights of roles needs, and neither a writer nor the reader of the log, until it is dropped.
fn hold_rights(changes: &Changes) -> PostgresSession {
    let mut session = changes.postgres().session();
    session.run("BEGIN; LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE");
    session
}

/// A server that gives up questions soon. Alone, because new slots in all databases of a cluster wait for transactions that hold locks.
async fn impatient() -> Changes {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), |settings| {
        settings.database.query_timeout = Duration::from_secs(1);
    })
    .await;
    rooms.postgres.sql(TABLES);
    Changes { rooms }
}

#[tokio::test]
async fn a_table_that_is_published_while_the_database_does_not_answer_is_received() {
    let changes = impatient().await;
    let mut ann = changes.subscribed("ann", &json!([{"schema": "public", "table": "*"}])).await;
    // What roles may read is known for a second, so only the new table is asked about.
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (1)");
    assert_eq!(record(&mut ann).await["id"], 1);
    let session = hold_rights(&changes);
    changes.postgres().sql(
        "CREATE TABLE public.later (id int PRIMARY KEY); GRANT SELECT ON public.later TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.later; INSERT INTO public.later VALUES (7)",
    );
    let waiting = "SELECT query_start FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'realtime_connect' AND wait_event_type = 'Lock'";
    let mut questions = HashSet::new();
    eventually("the database was asked again", async || {
        questions.insert(changes.postgres().sql(waiting));
        questions.remove("");
        questions.len() > 2
    })
    .await;
    drop(session);
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await["id"], 7);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn rows_that_are_dropped_because_the_database_does_not_answer_for_long_are_a_gap() {
    let changes = impatient().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let session = hold_rights(&changes);
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (1)");
    ann.until(&Receipt::Gap).await;
    drop(session);
    ann.until_written(changes.postgres(), 2).await;
    ann.assert_complete(changes.postgres());
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_publication_that_is_dropped_and_made_again_is_read_again() {
    let changes = Changes::start().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    ann.until_written(changes.postgres(), 1).await;
    // Nothing is written in between: the log has no row that it cannot be asked about.
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    changes.postgres().sql("CREATE PUBLICATION supabase_realtime FOR TABLE public.todos");
    ann.until_written(changes.postgres(), 2).await;
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (3)");
    let missing =
        "Changes of the database are not available: the publication `supabase_realtime` does not exist";
    ann.until(&Receipt::Notice(missing.to_owned())).await;
    let mut late = Subscriber::joined(&changes, "late").await;
    late.until(&Receipt::Notice(missing.to_owned())).await;
    changes.postgres().sql("CREATE PUBLICATION supabase_realtime FOR TABLE public.todos");
    ann.until(&Receipt::Gap).await;
    ann.until(&Receipt::Subscribed).await;
    late.until(&Receipt::Subscribed).await;
    ann.until_written(changes.postgres(), 4).await;
    late.until(&Receipt::Row(4)).await;
    ann.assert_complete(changes.postgres());
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_transaction_that_the_first_session_waits_for_is_named() {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), operators::with_operators).await;
    rooms.postgres.sql(TABLES);
    let changes = Changes { rooms };
    let mut transaction = changes.postgres().session();
    transaction.run("BEGIN; INSERT INTO public.todos (id) VALUES (1)");
    let pid = changes
        .postgres()
        .sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT INTO public.todos%'");
    let mut ann = Subscriber::joined(&changes, "ann").await;
    let waits = "Changes of the database are not available: they can be read when a transaction of the database that began before has ended";
    ann.until(&Receipt::Notice(waits.to_owned())).await;
    let expected = format!("(pid {pid})");
    let is_named =
        |reason: &str| reason.contains("a transaction that began at 2") && reason.ends_with(&expected);
    // One of the server itself may be older for a moment.
    eventually("the transaction is named", async || {
        operators::status(changes.world()).await["changes"]["reason"].as_str().is_some_and(is_named)
    })
    .await;
    transaction.run("COMMIT");
    Subscriber::subscribed(&changes, "bob").await.until_written(changes.postgres(), 2).await;
    changes.rooms.world.stop().await;
}
