//! Filters and selections of subscriptions.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use harness::{Postgres, eventually};
use serde_json::{Value, json};

use super::{Changes, TABLES, change, expect_gap, join, next, record, system};
use crate::private_rooms::PrivateRooms;

/// A column of which values with `slow` take a minute to read.
pub(super) const SPEED: &str = "
    CREATE FUNCTION public.slow() RETURNS boolean LANGUAGE sql AS $$
        SELECT CASE current_setting('application_name') WHEN 'realtime_connect' THEN pg_sleep(60) IS NOT NULL ELSE true END $$;
    CREATE DOMAIN public.pace AS text CHECK (CASE VALUE WHEN 'slow' THEN public.slow() ELSE true END);
    CREATE TYPE public.speed AS (pace public.pace);
    ALTER TABLE public.todos ADD COLUMN speed public.speed";

#[tokio::test]
async fn filters_compare_as_the_database_does() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "CREATE TABLE public.items (id int PRIMARY KEY, price numeric, name text, born date, seen timestamptz, raw bytea, ok boolean);
         GRANT SELECT ON public.items TO authenticated; ALTER PUBLICATION supabase_realtime ADD TABLE public.items;
         ALTER TABLE public.items REPLICA IDENTITY FULL",
    );
    let rows = "(1, 10.10, 'Ann', '2024-02-03', '2024-02-03 12:00:00+02', '\\x0102ff', true),
        (2, 9.5, 'bob', '0044-03-15 BC', 'infinity', '\\x', false), (3, NULL, NULL, NULL, NULL, NULL, NULL), (4, 'NaN', 'a,b', 'infinity', NULL, NULL, NULL)";
    let cases: [(&str, &[i64]); 24] = [
        ("price=eq.10.1", &[1]),
        ("price=lt.10", &[2]),
        ("price=gte.10", &[1, 4]),
        ("price=not.eq.9.50", &[1, 4]),
        ("price=in.(9.5,10.1)", &[1, 2]),
        ("name=eq.Ann", &[1]),
        ("name=neq.Ann", &[2, 4]),
        ("name=eq.\"a,b\"", &[4]),
        ("name=in.(\"a,b\",bob)", &[2, 4]),
        ("name=ilike.A%", &[1, 4]),
        ("name=not.like.A%", &[2, 4]),
        ("name=match.^b", &[2]),
        ("name=is.null", &[3]),
        ("name=not.is.null", &[1, 2, 4]),
        ("name=isdistinct.bob", &[1, 3, 4]),
        ("born=lt.2000-01-01", &[2]),
        ("born=gt.2024-01-01", &[1, 4]),
        ("seen=eq.2024-02-03T10:00:00Z", &[1]),
        ("seen=gt.2024-01-01", &[1, 2]),
        ("raw=eq.0102ff", &[1]),
        ("ok=is.true", &[1]),
        ("ok=eq.false", &[2]),
        ("id=gt.1,name=ilike.%B%", &[2, 4]),
        ("id=in.(1,3)", &[1, 3]),
    ];
    let mut clients = Vec::new();
    for (filter, expected) in cases {
        let binding = json!([{"event": "INSERT", "schema": "public", "table": "items", "filter": filter}]);
        clients.push((filter, expected, changes.subscribed("ann", &binding).await));
    }
    changes.postgres().sql(&format!("INSERT INTO public.items VALUES {rows}; INSERT INTO public.items VALUES (99, 10.1, 'Ann', '2024-02-03', '2024-02-03 10:00:00+00', '\\x0102ff', true)"));
    for (filter, expected, client) in &mut clients {
        for id in *expected {
            println!("{filter}: {id}");
            assert_eq!(record(client).await["id"], *id, "{filter}");
        }
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn bindings_with_different_selections_are_messages_of_their_own() {
    let changes = Changes::start().await;
    let bindings = json!([
        {"schema": "public", "table": "todos", "select": ["title"]},
        {"schema": "public", "table": "todos"},
        {"schema": "public", "table": "todos", "event": "INSERT"},
    ]);
    let mut client = changes.subscribed("ann", &bindings).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'one', 'ann')");
    let mut found: Vec<(usize, Value)> = Vec::new();
    for _ in 0..2 {
        let (ids, data) = change(&mut client).await;
        found.push((ids.as_array().expect("a list").len(), data["record"].clone()));
    }
    found.sort_by_key(|(ids, _)| *ids);
    assert_eq!(found[0], (1, json!({"id": 1, "title": "one"})));
    assert_eq!(found[1], (2, json!({"id": 1, "title": "one", "user_id": "ann", "done": false})));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_filter_on_all_tables_is_evaluated_by_the_type_of_each_and_refused_if_it_does_not_fit_one() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "CREATE TABLE public.numbers (id int PRIMARY KEY, code numeric);
         CREATE TABLE public.texts (id int PRIMARY KEY, code text COLLATE \"C\");
         GRANT SELECT ON public.numbers, public.texts TO authenticated;
         ALTER PUBLICATION supabase_realtime SET TABLE public.numbers, public.texts",
    );
    let binding = |filter: &str| json!([{"schema": "public", "table": "*", "filter": filter}]);
    let mut equal = changes.subscribed("ann", &binding("code=eq.1.0")).await;
    let mut greater = changes.subscribed("ann", &binding("code=gt.9")).await;
    let values = "(1, '1.0'), (2, '1.00'), (3, '10'), (4, '9.5')";
    changes.postgres().sql(&format!(
        "INSERT INTO public.numbers VALUES {values}; INSERT INTO public.texts VALUES {values}"
    ));
    for (client, numbers, texts) in [(&mut equal, &[1, 2][..], &[1][..]), (&mut greater, &[3, 4], &[4])] {
        for (table, ids) in [("numbers", numbers), ("texts", texts)] {
            for id in ids {
                let (_, data) = change(client).await;
                assert_eq!((&data["table"], &data["record"]["id"]), (&json!(table), &json!(id)));
            }
        }
        client.expect_quiet().await;
    }
    for (filter, refusal) in [
        ("code=eq.x", "invalid input syntax for type numeric: \"x\""),
        ("code=like.1%", "operator like requires a text-compatible column type, got numeric"),
    ] {
        let mut refused = changes.client("bob").await;
        join(&mut refused, &binding(filter)).await;
        let (status, message) = system(&mut refused).await;
        assert!(status == "error" && message.ends_with(refusal), "{status}: {message}");
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_filter_that_takes_too_long_delays_others_for_a_moment_and_hides_its_rows() {
    let changes = Changes::start().await;
    changes.postgres().sql(SPEED);
    let binding =
        |filter: &str| json!([{"event": "INSERT", "schema": "public", "table": "todos", "filter": filter}]);
    let mut ann = changes.subscribed("ann", &binding("speed=neq.(s)")).await;
    let mut bob = changes.subscribed("bob", &binding("title=ilike.%a%")).await;
    let begun = Instant::now();
    changes.postgres().sql(
        "INSERT INTO public.todos (id, title, speed) SELECT n, 'A', '(slow)' FROM generate_series(1, 300) AS n",
    );
    for id in 1..=300 {
        assert_eq!(record(&mut bob).await["id"], id);
    }
    // Asked about row by row it would take minutes.
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    let excluded = r#"realtime_changes_exclusions_total{tenant="default"}"#;
    assert_eq!(changes.world().number(excluded).await, 1.0);
    changes.postgres().sql("INSERT INTO public.todos (id, title, speed) VALUES (301, 'a', '(slow)')");
    assert_eq!(record(&mut bob).await["id"], 301);
    ann.expect_quiet().await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn many_slow_filters_of_one_client_delay_others_for_one_question_in_a_minute() {
    let changes = Changes::start().await;
    changes.postgres().sql(SPEED);
    changes.postgres().sql(
        "CREATE TABLE public.other (id int PRIMARY KEY); GRANT SELECT ON public.other TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.other",
    );
    let slow = |number| json!({"event": "INSERT", "schema": "public", "table": "todos", "filter": format!("speed=neq.(s{number})")});
    let mut ann = changes.subscribed("ann", &(0..20).map(slow).collect()).await;
    let mut bob = changes.subscribed("bob", &json!([{"schema": "public", "table": "other"}])).await;
    let excluded = r#"realtime_changes_exclusions_total{tenant="default"}"#;
    for id in 1..=5 {
        changes.postgres().sql(&format!(
            "INSERT INTO public.todos (id, title, speed) VALUES ({id}, 'a', '(slow)'); INSERT INTO public.other VALUES ({id})"
        ));
        assert_eq!(record(&mut bob).await["id"], id);
    }
    // Each is a question that takes too long. Without a limit for one client they would be asked until all twenty are excluded.
    let questions = changes.world().number(excluded).await;
    assert!((5.0..15.0).contains(&questions), "{questions}");
    expect_gap(&mut ann).await;
    // Those of others are evaluated.
    let binding = json!([{"schema": "public", "table": "todos", "filter": "title=ilike.%A%"}]);
    let mut cas = changes.subscribed("cas", &binding).await;
    changes.postgres().sql("INSERT INTO public.todos (id, title, speed) VALUES (6, 'a', '(slow)')");
    assert_eq!(record(&mut cas).await["id"], 6);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn filters_that_answer_in_time_are_asked_beside_slow_ones_of_many_clients() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.changes.max_slow_filters_per_client = NonZeroU32::MIN;
    })
    .await;
    rooms.postgres.sql(TABLES);
    rooms.postgres.sql(SPEED);
    let changes = Changes { rooms };
    let filtered =
        |filter: &str| json!({"event": "INSERT", "schema": "public", "table": "todos", "filter": filter});
    let mut bob = changes.subscribed("bob", &json!([filtered("title=ilike.%a%")])).await;
    changes.postgres().sql("INSERT INTO public.todos (id, title) VALUES (1, 'a')");
    assert_eq!(record(&mut bob).await["id"], 1);
    let mut others = Vec::new();
    for client in 0..4 {
        let slow = json!([filtered(&format!("speed=neq.(s{client})"))]);
        others.push(changes.subscribed("ann", &slow).await);
    }
    // The filters, the clients, and the table.
    let (excluded, mut id) = (r#"realtime_changes_exclusions_total{tenant="default"}"#, 2);
    eventually("the table is excluded", async || {
        id += 1;
        changes
            .postgres()
            .sql(&format!("INSERT INTO public.todos (id, title, speed) VALUES ({id}, 'a', '(slow)')"));
        changes.world().number(excluded).await == 9.0
    })
    .await;
    changes.postgres().sql("INSERT INTO public.todos (id, title, speed) VALUES (1000, 'a', '(slow)')");
    while next(&mut bob).await["payload"]["data"]["record"]["id"] != 1000 {}
    changes.rooms.world.stop().await;
}

// Upstream accepts them, and fails when a row is written.
#[tokio::test]
async fn arrays_are_compared_as_a_whole_and_with_no_list() {
    let changes = Changes::start().await;
    changes.postgres().sql("ALTER TABLE public.todos ADD COLUMN tags int[]");
    let binding = |filter: &str| json!([{"schema": "public", "table": "todos", "filter": filter}]);
    let mut ann = changes.subscribed("ann", &binding("tags=eq.\"{1,2}\"")).await;
    changes.postgres().sql("INSERT INTO public.todos (id, tags) VALUES (1, '{1}'), (2, '{1,2}')");
    assert_eq!(record(&mut ann).await["id"], 2);
    let mut bob = changes.client("bob").await;
    join(&mut bob, &binding("tags=in.(1,2)")).await;
    let (status, message) = system(&mut bob).await;
    let reason = "operator in requires a column type that is not an array, got integer[]";
    assert!(status == "error" && message.ends_with(reason), "{status}: {message}");
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_binding_has_as_many_conditions_as_the_settings_allow() {
    let changes = Changes::start().await;
    changes
        .world()
        .apply(|settings| settings.changes.max_filters_per_binding = 2.try_into().expect("not zero"));
    let binding = |filter: &str| json!([{"schema": "public", "table": "todos", "filter": filter}]);
    let _allowed = changes.subscribed("ann", &binding("id=gt.1,id=lt.5")).await;
    let mut refused = changes.client("bob").await;
    join(&mut refused, &binding("id=gt.1,id=lt.5,done=eq.true")).await;
    let text = "Too many subscriptions to changes: a channel has at most 100, each with 2 filters";
    assert_eq!(system(&mut refused).await, ("error".to_owned(), text.to_owned()));
    changes.rooms.world.stop().await;
}
