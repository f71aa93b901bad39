//! Commits that wait for a synchronous standby: their rows are in the log, and others cannot see them yet.

use std::time::{Duration, Instant};

use harness::{Client, Postgres, PostgresSession};

use super::{Changes, OWN_ROWS, TABLES, expect_gap, record, table};
use crate::private_rooms::PrivateRooms;

/// How long changes wait for the database.
const DATABASE_WAIT: Duration = Duration::from_secs(2);

/// The time until a client receives a row that is committed together with one of `todos`, by a session that waits for the standby.
async fn delay(changes: &Changes, other: &mut Client, id: u32) -> (Duration, PostgresSession) {
    let begun = Instant::now();
    let mut session = changes.postgres().session();
    session.begin(&format!(
        "BEGIN; INSERT INTO public.todos (id, user_id) VALUES ({id}, 'ann'); INSERT INTO public.other VALUES ({id}); COMMIT"
    ));
    assert_eq!(record(other).await["id"], id);
    (begun.elapsed(), session)
}

#[tokio::test]
async fn a_standby_that_is_away_delays_changes_once() {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), |settings| {
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
    changes.postgres().sql("ALTER SYSTEM SET synchronous_standby_names = 'away'");
    changes.postgres().sql("SELECT pg_reload_conf()");
    let (first, _waiting) = delay(&changes, &mut bob, 1).await;
    assert!(first >= DATABASE_WAIT, "{first:?}");
    expect_gap(&mut ann).await;
    let (second, _waiting_too) = delay(&changes, &mut bob, 2).await;
    assert!(second < DATABASE_WAIT, "{second:?}");
    changes.postgres().sql("ALTER SYSTEM RESET synchronous_standby_names");
    changes.postgres().sql("SELECT pg_reload_conf()");
    changes.postgres().sql("INSERT INTO public.todos (id, user_id) VALUES (3, 'ann')");
    assert_eq!(record(&mut ann).await["id"], 3);
    changes.rooms.world.stop().await;
}
