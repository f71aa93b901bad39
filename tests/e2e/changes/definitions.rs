//! Definitions of tables that change while clients have subscribed to them: names, types, keys.

use serde_json::{Value, json};

use super::numbered::{Receipt, Subscriber};
use super::{Changes, ROWS_OF_ANN, next, record, system};

fn named(table: &str) -> Value {
    json!([{"event": "INSERT", "schema": "public", "table": table}])
}

/// The next record, after notices that the subscription is complete.
async fn next_record(client: &mut harness::Client) -> Value {
    loop {
        let message = next(client).await;
        if message["event"] == "postgres_changes" {
            return message["payload"]["data"]["record"].clone();
        }
        assert_eq!(message["payload"]["message"], "Subscribed to PostgreSQL", "{message}");
    }
}

#[tokio::test]
async fn a_table_that_is_renamed_is_that_of_its_new_name() {
    let changes = Changes::start().await;
    let mut all = changes.subscribed("ann", &named("*")).await;
    let mut ann = changes.subscribed("ann", &named("todos")).await;
    changes
        .postgres()
        .sql("ALTER TABLE public.todos RENAME TO tasks; INSERT INTO public.tasks (id) VALUES (1)");
    assert_eq!(next_record(&mut all).await["id"], 1);
    let (status, message) = system(&mut ann).await;
    assert!(status == "error" && message.starts_with("Unable to subscribe to changes"), "{message}");
    let mut bob = changes.subscribed("bob", &named("tasks")).await;
    changes
        .postgres()
        .sql("ALTER TABLE public.tasks RENAME TO todos; INSERT INTO public.todos (id) VALUES (2)");
    for client in [&mut all, &mut ann] {
        assert_eq!(next_record(client).await["id"], 2);
    }
    assert_eq!(system(&mut bob).await.0, "error");
    changes.rooms.world.stop().await;
}

// As tables are replaced by others that were filled beside them.
#[tokio::test]
async fn a_table_that_takes_the_name_of_another_is_received_by_those_who_name_it() {
    let changes = Changes::start().await;
    let mut all = changes.subscribed("ann", &named("*")).await;
    let mut ann = changes.subscribed("ann", &named("todos")).await;
    changes.postgres().sql(
        "CREATE TABLE public.filled (LIKE public.todos INCLUDING ALL); GRANT SELECT ON public.filled TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.filled; INSERT INTO public.filled (id) VALUES (1)",
    );
    assert_eq!(next_record(&mut all).await["id"], 1);
    changes.postgres().sql(
        "BEGIN; ALTER TABLE public.todos RENAME TO old; ALTER TABLE public.filled RENAME TO todos; COMMIT;
         INSERT INTO public.todos (id) VALUES (2)",
    );
    assert_eq!(next_record(&mut all).await["id"], 2);
    assert_eq!(next_record(&mut ann).await["id"], 2);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn rows_that_were_written_before_a_renaming_are_looked_up_by_the_new_names() {
    let changes = Changes::start().await;
    changes.postgres().sql(ROWS_OF_ANN);
    let mut ann = changes.subscribed("ann", &named("*")).await;
    changes.postgres().sql(
        "BEGIN; INSERT INTO public.todos (id) VALUES (1); ALTER TABLE public.todos RENAME TO tasks;
         INSERT INTO public.tasks (id) VALUES (2); ALTER TABLE public.tasks RENAME COLUMN title TO name;
         INSERT INTO public.tasks (id) VALUES (3); COMMIT",
    );
    for id in 1..=3 {
        assert_eq!(next_record(&mut ann).await["id"], id);
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn rows_with_a_key_that_has_got_two_other_names_since_are_found() {
    for (number, identity) in ["DEFAULT", "FULL"].into_iter().enumerate() {
        let changes = Changes::start().await;
        changes
            .postgres()
            .sql(&format!("{ROWS_OF_ANN}; ALTER TABLE public.todos REPLICA IDENTITY {identity}"));
        let mut ann = changes.subscribed("ann", &named("todos")).await;
        changes.postgres().sql(&format!(
            "BEGIN; ALTER TABLE public.todos RENAME id TO first; INSERT INTO public.todos (first, title) VALUES ({number}, 'a');
             ALTER TABLE public.todos RENAME first TO second; COMMIT"
        ));
        let row = json!({"second": number, "title": "a", "user_id": null, "done": false});
        assert_eq!(next_record(&mut ann).await, row, "{identity}");
        changes.rooms.world.stop().await;
    }
}

#[tokio::test]
async fn rows_whose_key_is_not_known_any_more_are_a_gap() {
    let changes = Changes::start().await;
    changes.postgres().sql(&format!("{ROWS_OF_ANN}; ALTER TABLE public.todos REPLICA IDENTITY FULL"));
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    changes.postgres().sql(
        "BEGIN; ALTER TABLE public.todos RENAME id TO first; INSERT INTO public.todos (first) VALUES (1);
         ALTER TABLE public.todos RENAME first TO second; ALTER TABLE public.todos DROP COLUMN title; COMMIT",
    );
    ann.until(&Receipt::Gap).await;
    changes.postgres().sql("ALTER TABLE public.todos RENAME second TO id");
    ann.until_written(changes.postgres(), 2).await;
    changes.rooms.world.stop().await;
}

// Without another look at it, its rows would not be received before the next session of the log.
#[tokio::test]
async fn a_new_table_that_could_not_be_checked_is_subscribed_to_later() {
    let changes = Changes::start().await;
    let mut ann = Subscriber::of(&changes, "ann", &named("*")).await;
    ann.until(&Receipt::Subscribed).await;
    let rename = |from: &str, to: &str| {
        changes.postgres().sql(&format!("ALTER FUNCTION pg_catalog.{from}(jsonb) RENAME TO {to}"));
    };
    rename("jsonb_array_elements", "away");
    changes.postgres().sql(
        "CREATE TABLE public.new (id int PRIMARY KEY); GRANT SELECT ON public.new TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.new; INSERT INTO public.new VALUES (1)",
    );
    ann.until(&Receipt::Gap).await;
    rename("away", "jsonb_array_elements");
    ann.until(&Receipt::Subscribed).await;
    changes.postgres().sql("INSERT INTO public.new VALUES (2)");
    ann.until(&Receipt::Row(2)).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_filter_compares_by_the_new_type_of_its_column() {
    let changes = Changes::start().await;
    changes.postgres().sql("ALTER TABLE public.todos ADD COLUMN rank int");
    let binding = json!([{"event": "INSERT", "schema": "public", "table": "todos", "filter": "rank=gt.9"}]);
    let mut ann = changes.subscribed("ann", &binding).await;
    let insert = "INSERT INTO public.todos (id, rank) VALUES";
    changes.postgres().sql(&format!("{insert} (1, 9), (2, 10)"));
    assert_eq!(record(&mut ann).await["rank"], 10);
    changes
        .postgres()
        .sql(&format!("ALTER TABLE public.todos ALTER COLUMN rank TYPE text; {insert} (3, '10'), (4, '91')"));
    assert_eq!(next_record(&mut ann).await["rank"], "91", "texts");
    changes.postgres().sql(&format!(
        "ALTER TABLE public.todos ALTER COLUMN rank TYPE numeric USING rank::numeric; {insert} (5, 8.5), (6, 9.5)"
    ));
    let row = next_record(&mut ann).await;
    assert_eq!((&row["id"], &row["rank"]), (&json!(6), &json!(9.5)));
    // One that the filter does not fit.
    changes.postgres().sql(&format!(
        "ALTER TABLE public.todos ALTER COLUMN rank TYPE boolean USING true; {insert} (7, true)"
    ));
    assert_eq!(system(&mut ann).await.0, "error");
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_primary_key_that_is_dropped_and_added_decides_what_is_sent() {
    let changes = Changes::start().await;
    let mut ann = changes.subscribed("ann", &named("todos")).await;
    changes
        .postgres()
        .sql("ALTER TABLE public.todos DROP CONSTRAINT todos_pkey; INSERT INTO public.todos (id) VALUES (1)");
    let mut data = Value::Null;
    while data.is_null() {
        let message = next(&mut ann).await;
        data = message["payload"]["data"].clone();
    }
    assert_eq!(data["errors"], json!(["Error 400: Bad Request, no primary key"]));
    changes
        .postgres()
        .sql("ALTER TABLE public.todos ADD PRIMARY KEY (id); INSERT INTO public.todos (id) VALUES (2)");
    loop {
        let message = next(&mut ann).await;
        if message["event"] == "postgres_changes" {
            assert_eq!(message["payload"]["data"]["record"]["id"], 2, "{message}");
            break;
        }
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_replica_identity_that_changes_decides_what_is_known_of_rows_before() {
    let changes = Changes::start().await;
    let mut ann =
        changes.subscribed("ann", &json!([{"event": "UPDATE", "schema": "public", "table": "todos"}])).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'zero', 'ann')");
    changes.postgres().sql("ALTER TABLE public.todos ALTER title SET NOT NULL; CREATE UNIQUE INDEX by_title ON public.todos (title)");
    let mut title = "zero".to_owned();
    for (number, (identity, columns)) in [
        ("FULL", vec!["id", "title", "user_id", "done"]),
        ("DEFAULT", vec!["id"]),
        ("USING INDEX by_title", vec!["title"]),
        ("FULL", vec!["id", "title", "user_id", "done"]),
    ]
    .into_iter()
    .enumerate()
    {
        let before = json!({"id": 1, "title": title, "user_id": "ann", "done": false});
        title = format!("title {number}");
        changes.postgres().sql(&format!(
            "ALTER TABLE public.todos REPLICA IDENTITY {identity}; UPDATE public.todos SET title = '{title}'"
        ));
        let data = loop {
            let message = next(&mut ann).await;
            if message["event"] == "postgres_changes" {
                break message["payload"]["data"].clone();
            }
        };
        let fields = before
            .as_object()
            .expect("an object")
            .iter()
            .filter(|(name, _)| columns.contains(&name.as_str()));
        let expected: Value = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        assert_eq!((&data["old_record"], &data["record"]["title"]), (&expected, &json!(title)), "{identity}");
    }
    // Without one, rows are inserted only.
    let mut all = changes.subscribed("ann", &named("todos")).await;
    changes.postgres().sql("ALTER TABLE public.todos REPLICA IDENTITY NOTHING; INSERT INTO public.todos VALUES (2, 'two', 'ann')");
    assert_eq!(next_record(&mut all).await["id"], 2);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_table_that_leaves_its_schema_or_the_publication_is_received_again_when_it_is_back() {
    let changes = Changes::start().await;
    changes.postgres().sql("CREATE SCHEMA elsewhere");
    let mut ann = changes.subscribed("ann", &named("todos")).await;
    for (number, (away, back)) in [
        ("ALTER TABLE public.todos SET SCHEMA elsewhere", "ALTER TABLE elsewhere.todos SET SCHEMA public"),
        (
            "ALTER PUBLICATION supabase_realtime DROP TABLE public.todos",
            "ALTER PUBLICATION supabase_realtime ADD TABLE public.todos",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        changes.postgres().sql(&format!("{away}; {back}; INSERT INTO public.todos (id) VALUES ({number})"));
        assert_eq!(next_record(&mut ann).await["id"], number);
    }
    expect_nothing_else(&mut ann).await;
    changes.rooms.world.stop().await;
}

/// Nothing but notices that the subscription is complete.
async fn expect_nothing_else(client: &mut harness::Client) {
    for frame in client.received().await {
        assert!(frame.to_string().contains("Subscribed to PostgreSQL"), "{frame}");
    }
}
