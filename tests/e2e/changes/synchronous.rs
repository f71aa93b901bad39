//! Commits that wait for a synchronous standby: their rows are in the log, and others cannot see them yet.

use std::time::{Duration, Instant};

use harness::{Client, Postgres, PostgresSession, eventually};

use super::{Changes, OWN_ROWS, TABLES, expect_gap, next, record, table};
use crate::private_rooms::PrivateRooms;

/// How long changes wait for the database.
const DATABASE_WAIT: Duration = Duration::from_secs(4);

/// No standby of this name is there. Only commits of sessions that ask for it wait.
const STANDBY: [&str; 2] = ["synchronous_standby_names=away", "synchronous_commit=local"];

/// Ends the wait of each commit that waits for the standby, as its acknowledgement would, as soon as there is one.
const ACKNOWLEDGE: &str = "DO $$ BEGIN
    LOOP
        PERFORM pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep';
        EXIT WHEN FOUND;
        PERFORM pg_sleep(0.01);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
END $$";

/// Begins a commit that waits for the standby.
fn commit(changes: &Changes, id: u32) -> PostgresSession {
    let mut session = changes.postgres().session();
    session.begin(&format!(
        "SET synchronous_commit = on; BEGIN; INSERT INTO public.todos (id, user_id) VALUES ({id}, 'ann');
         INSERT INTO public.other VALUES ({id}); COMMIT"
    ));
    session
}

/// The time until a client receives a row that is committed together with one of `todos`, by a session that waits for the standby.
async fn delay(changes: &Changes, other: &mut Client, id: u32) -> (Duration, PostgresSession) {
    let begun = Instant::now();
    let session = commit(changes, id);
    assert_eq!(record(other).await["id"], id);
    (begun.elapsed(), session)
}

#[tokio::test]
async fn a_standby_that_is_away_delays_changes_once() {
    let rooms = PrivateRooms::with(Postgres::alone(&STANDBY), |settings| {
        settings.changes.database_wait = DATABASE_WAIT;
    })
    .await;
    rooms.postgres.sql(TABLES);
    rooms.postgres.sql(OWN_ROWS);
    rooms.postgres.sql(
        "CREATE TABLE public.other (id int PRIMARY KEY); GRANT SELECT ON public.other TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.other",
    );
    let changes = Changes { rooms };
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    let mut bob = changes.subscribed("bob", &table("other")).await;
    let (first, _waiting) = delay(&changes, &mut bob, 1).await;
    assert!(first >= DATABASE_WAIT, "{first:?}");
    expect_gap(&mut ann).await;
    // Commits that do not wait for it are visible meanwhile.
    let (mut received, mut waiting) = (None, Vec::new());
    for id in [2, 3] {
        changes.postgres().sql(&format!("INSERT INTO public.todos (id, user_id) VALUES (1{id}, 'ann')"));
        while received != Some(10 + u64::from(id)) {
            received = next(&mut ann).await["payload"]["data"]["record"]["id"].as_u64();
        }
        let (delay, session) = delay(&changes, &mut bob, id).await;
        assert!(delay < DATABASE_WAIT, "{delay:?} for {id}");
        waiting.push(session);
    }
    // One that is there again acknowledges what waits, and each further commit after it is in the log.
    let mut acknowledging = changes.postgres().session();
    acknowledging.run(ACKNOWLEDGE);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("nothing waits", async || changes.postgres().sql(waits) == "0").await;
    acknowledging.begin(ACKNOWLEDGE);
    let _acknowledged = commit(&changes, 4);
    // She is notified of what the others have missed at the end of a window, which may be before.
    let received = loop {
        let message = next(&mut ann).await;
        if message["event"] == "postgres_changes" {
            break message;
        }
    };
    assert_eq!(received["payload"]["data"]["record"]["id"], 4);
    changes.rooms.world.stop().await;
}
