//! Policies that take too long, or do not let the database answer: they hide rows of their table, and nothing else.

use std::time::Duration;

use harness::{Client, eventually};

use super::{Changes, NOTE_QUESTION, TABLES, expect_gap, record, table};
use crate::private_rooms::PrivateRooms;

/// How long a question may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// A published table of which policies decide, which call `public.decides`.
const GUARDED: &str = "
    CREATE TABLE public.guarded (id int PRIMARY KEY);
    GRANT SELECT ON public.guarded TO authenticated;
    ALTER PUBLICATION supabase_realtime ADD TABLE public.guarded;
    ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.guarded FOR SELECT TO authenticated
        USING (public.decides(current_setting('request.jwt.claims', true)::jsonb ->> 'sub'))";

/// The sessions of the server that something runs on.
const SESSIONS: &str = "
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'realtime_connect' AND state = 'active'";

/// A server that gives up questions soon, and the table `guarded`, on whose policies this function decides for a user, `sub`.
async fn guarded_by(may: &str) -> Changes {
    let rooms = PrivateRooms::with(harness::Postgres::start(), |settings| {
        settings.database.query_timeout = QUERY_TIMEOUT;
    })
    .await;
    rooms.postgres.sql(TABLES);
    rooms.postgres.sql(&format!(
        "CREATE FUNCTION public.decides(sub text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ {may} $$; {GUARDED}"
    ));
    Changes { rooms }
}

/// Clients of different users that have subscribed to the table.
async fn subscribed(changes: &Changes, users: u32) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..users {
        clients.push(changes.subscribed(&format!("user{number}"), &table("guarded")).await);
    }
    clients
}

/// Checks that clients for whom policies of `guarded` have no answer delay another one once, and receive a notice of it.
async fn expect_one_delay(changes: &Changes) {
    let mut clients = subscribed(changes, 6).await;
    let mut other = changes.subscribed("other", &table("todos")).await;
    let first = questions_before(changes, &mut other, 1).await;
    // A question that has ended its session is asked again on another one.
    assert!((1..=4).contains(&first), "{first} questions for 6 clients");
    for client in &mut clients {
        expect_gap(client).await;
    }
    assert_eq!(questions_before(changes, &mut other, 2).await, 0);
}

/// How often the policies are asked until a client receives what is written in another table after a row of `guarded`. Each question
/// delays it for as long as it may take.
async fn questions_before(changes: &Changes, other: &mut Client, id: u32) -> usize {
    let before = changes.questions();
    changes.postgres().sql(&format!(
        "INSERT INTO public.guarded VALUES ({id}); INSERT INTO public.todos (id) VALUES ({id})"
    ));
    assert_eq!(record(other).await["id"], id);
    changes.questions() - before
}

#[tokio::test]
async fn a_policy_that_is_slow_for_all_takes_the_time_of_two_questions_once() {
    let changes = guarded_by(&format!("BEGIN {NOTE_QUESTION} PERFORM pg_sleep(60); RETURN true; END")).await;
    let mut clients = subscribed(&changes, 10).await;
    let mut other = changes.subscribed("other", &table("todos")).await;
    assert_eq!(questions_before(&changes, &mut other, 1).await, 2);
    for client in &mut clients {
        expect_gap(client).await;
    }
    for id in 2..5 {
        assert_eq!(questions_before(&changes, &mut other, id).await, 0);
    }
    let excluded = r#"realtime_changes_exclusions_total{tenant="default"}"#;
    assert_eq!(changes.world().number(excluded).await, 2.0, "the first viewer, and its role");
    // A client that comes later is not asked about either.
    let mut late = changes.subscribed("late", &table("guarded")).await;
    assert_eq!(questions_before(&changes, &mut other, 5).await, 0);
    expect_gap(&mut late).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_policy_that_was_slow_is_asked_again_after_the_pause_and_its_rows_appear() {
    let changes = guarded_by(&format!(
        "BEGIN
             {NOTE_QUESTION}
             IF EXISTS (SELECT FROM public.load) THEN PERFORM pg_sleep(60); END IF;
             RETURN true;
         END"
    ))
    .await;
    changes.postgres().sql("CREATE TABLE public.load (high bool); INSERT INTO public.load VALUES (true)");
    let mut ann = changes.subscribed("ann", &table("guarded")).await;
    let mut other = changes.subscribed("other", &table("todos")).await;
    assert_eq!(questions_before(&changes, &mut other, 1).await, 1);
    expect_gap(&mut ann).await;
    // It would answer now, but the pause is a minute.
    changes.postgres().sql("DELETE FROM public.load");
    assert_eq!(questions_before(&changes, &mut other, 2).await, 0);
    let pause = Duration::from_secs(1);
    changes.world().apply(|settings| settings.changes.slow_query_pause = pause);
    let sent = r#"realtime_changes_sent_total{tenant="default"}"#;
    let before = changes.world().number(sent).await;
    eventually("rows are received again", async || {
        changes.postgres().sql("INSERT INTO public.guarded SELECT max(id) + 1 FROM public.guarded");
        changes.world().number(sent).await > before
    })
    .await;
    let first = record(&mut ann).await["id"].as_u64().expect("a number");
    assert!(first > 2, "row {first} was hidden");
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_policy_that_ends_its_session_does_not_look_like_a_database_that_is_away() {
    let policy =
        format!("BEGIN {NOTE_QUESTION} PERFORM pg_terminate_backend(pg_backend_pid()); RETURN true; END");
    let changes = guarded_by(&policy).await;
    expect_one_delay(&changes).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_cancelled_leaves_no_session() {
    let changes = guarded_by(&format!(
        "BEGIN
             {NOTE_QUESTION}
             LOOP
                 BEGIN PERFORM pg_sleep(1); EXCEPTION WHEN query_canceled THEN NULL; END;
             END LOOP;
         END"
    ))
    .await;
    expect_one_delay(&changes).await;
    eventually("no session is left", async || changes.postgres().sql(SESSIONS) == "0").await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_policy_that_raises_what_the_server_raises_shows_no_row_of_another_client() {
    let changes = guarded_by(
        "BEGIN
             IF sub = 'user1' THEN RAISE EXCEPTION USING ERRCODE = 'RT000'; END IF;
             RETURN true;
         END",
    )
    .await;
    let mut clients = subscribed(&changes, 3).await;
    for id in 1..=3 {
        changes.postgres().sql(&format!("INSERT INTO public.guarded VALUES ({id})"));
        assert_eq!(record(&mut clients[0]).await["id"], id);
        assert_eq!(record(&mut clients[2]).await["id"], id);
    }
    clients[1].expect_quiet().await;
    changes.rooms.world.stop().await;
}
