//! Generated columns, which the log does not have, compared with the rows.

use std::time::Duration;

use harness::eventually;
use serde_json::{Value, json};

use super::{ask, subscribe};
use crate::changes::{Changes, change};

/// Its generated columns are computed from different columns, one of which is stored apart from its row.
const TABLE: &str = r#"
    CREATE TABLE public.computed (
        k text, "n ""n" int, price numeric, amount int, note text,
        total numeric GENERATED ALWAYS AS (price * amount) STORED,
        "a ""label" text GENERATED ALWAYS AS (k || coalesce(note, '')) STORED,
        is_large boolean GENERATED ALWAYS AS (amount > 10) STORED,
        PRIMARY KEY ("n ""n", k));
    ALTER TABLE public.computed ALTER note SET STORAGE EXTERNAL;
    GRANT SELECT ON public.computed TO authenticated;
    ALTER PUBLICATION supabase_realtime ADD TABLE public.computed"#;

const GENERATED: [&str; 3] = ["total", "a \"label", "is_large"];

async fn start() -> Changes {
    let changes = Changes::start().await;
    changes.postgres().sql(TABLE);
    changes
}

fn table() -> Value {
    json!({"schema": "public", "table": "computed"})
}

fn filtered(filter: &str) -> Value {
    json!({"schema": "public", "table": "computed", "filter": filter})
}

/// The row without the columns of these names.
fn without(mut row: Value, names: &[&str]) -> Value {
    names.iter().for_each(|name| drop(row.as_object_mut().expect("an object").remove(*name)));
    row
}

#[tokio::test]
async fn written_rows_have_their_generated_columns_and_rows_before_have_not() {
    for identity in ["DEFAULT", "FULL"] {
        let changes = start().await;
        changes.postgres().sql(&format!("ALTER TABLE public.computed REPLICA IDENTITY {identity}"));
        let mut client = changes.client("ann").await;
        let bindings = [
            table(),
            filtered("total=gt.10"),
            filtered("total=not.gt.10"),
            filtered("a \"label=like.k%"),
            filtered("is_large=is.null"),
        ];
        let ids = subscribe(&mut client, "realtime:room", &bindings).await;
        for (write, expected) in [
            ("INSERT INTO public.computed VALUES ('k', 1, 2.50, 3, repeat('apart ', 1000))", vec![3, 2, 0]),
            ("UPDATE public.computed SET price = 5", vec![3, 1, 0]),
            ("UPDATE public.computed SET amount = NULL", vec![4, 3, 0]),
            ("UPDATE public.computed SET k = 'l', amount = 20", vec![1, 0]),
        ] {
            let before = ask(
                changes.postgres(),
                "SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM public.computed AS t",
            );
            let row =
                ask(changes.postgres(), &format!("{write}; SELECT to_jsonb(t) FROM public.computed AS t"));
            let (received, data) = change(&mut client).await;
            let expected: Vec<_> = expected.into_iter().map(|place: usize| ids[place].clone()).collect();
            assert_eq!(received, json!(expected), "{identity}: {write}");
            let is_stored_apart = identity == "DEFAULT" && write.starts_with("UPDATE");
            let record = if is_stored_apart { without(row, &["note"]) } else { row };
            assert_eq!(data["record"], record, "{identity}: {write}");
            if identity == "FULL" && write.starts_with("UPDATE") {
                assert_eq!(data["old_record"], without(before[0].clone(), &GENERATED));
            }
        }
        changes.postgres().sql("DELETE FROM public.computed");
        let (received, data) = change(&mut client).await;
        assert_eq!((&received, &data["old_record"]["total"]), (&json!([ids[0]]), &Value::Null));
        changes.rooms.world.stop().await;
    }
}

#[tokio::test]
async fn of_a_row_that_was_changed_again_only_what_is_still_the_same_is_received() {
    let changes = start().await;
    let mut client = changes.client("ann").await;
    subscribe(&mut client, "realtime:room", &[table()]).await;
    changes.postgres().sql(
        "INSERT INTO public.computed VALUES ('k', 1, 2, 3), ('gone', 2, 1, 1); UPDATE public.computed SET price = 5 WHERE k = 'k';
         UPDATE public.computed SET note = 'x' WHERE k = 'k'; DELETE FROM public.computed WHERE k = 'gone'",
    );
    let row = |price: i32, note: Option<&str>| json!({"k": "k", "n \"n": 1, "price": price, "amount": 3, "note": note});
    let mut inserted = row(2, None);
    inserted["is_large"] = json!(false);
    let mut updated = row(5, None);
    (updated["is_large"], updated["total"]) = (json!(false), json!(15));
    let mut last = row(5, Some("x"));
    (last["is_large"], last["total"], last["a \"label"]) = (json!(false), json!(15), json!("kx"));
    let gone = json!({"k": "gone", "n \"n": 2, "price": 1, "amount": 1, "note": null});
    for expected in [inserted, gone, updated, last] {
        assert_eq!(change(&mut client).await.1["record"], expected);
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn privileges_and_selections_apply_to_generated_columns() {
    let changes = start().await;
    changes.postgres().sql(
        "REVOKE SELECT ON public.computed FROM authenticated;
         GRANT SELECT (k, \"n \"\"n\", amount, is_large) ON public.computed TO authenticated;
         ALTER TABLE public.computed ENABLE ROW LEVEL SECURITY;
         CREATE POLICY large ON public.computed USING (is_large)",
    );
    let mut client = changes.client("ann").await;
    let selected = json!({"schema": "public", "table": "computed", "select": ["is_large"], "filter": "is_large=is.true"});
    subscribe(&mut client, "realtime:room", &[table(), selected]).await;
    changes.postgres().sql("INSERT INTO public.computed VALUES ('k', 1, 2, 3), ('l', 2, 2, 30)");
    let mut records =
        [change(&mut client).await.1, change(&mut client).await.1].map(|data| data["record"].clone());
    records.sort_by_key(|record| record.as_object().map(serde_json::Map::len));
    assert_eq!(records[0], json!({"k": "l", "n \"n": 2, "is_large": true}));
    assert_eq!(records[1], json!({"k": "l", "n \"n": 2, "amount": 30, "is_large": true}));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn rows_whose_generated_columns_cannot_be_read_are_received_without_them() {
    let changes = start().await;
    changes.world().apply(|settings| settings.database.query_timeout = Duration::from_secs(2));
    let mut client = changes.client("ann").await;
    subscribe(&mut client, "realtime:room", &[table()]).await;
    // The lock is granted when the row is committed, before the server can read it.
    let (mut writer, mut holder) = (changes.postgres().session(), changes.postgres().session());
    writer.run("BEGIN; INSERT INTO public.computed VALUES ('k', 1, 2, 3)");
    let holder = std::thread::spawn(move || {
        holder.run("BEGIN; LOCK TABLE public.computed IN ACCESS EXCLUSIVE MODE");
        holder
    });
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'public.computed'::regclass";
    eventually("the lock is asked for", async || changes.postgres().sql(waiting) == "1").await;
    writer.run("COMMIT");
    let record = change(&mut client).await.1["record"].clone();
    assert_eq!(record, json!({"k": "k", "n \"n": 1, "price": 2, "amount": 3, "note": null}));
    let incomplete = r#"realtime_changes_incomplete_total{tenant="default"}"#;
    assert_eq!(changes.world().number(incomplete).await, 1.0);
    drop(holder.join());
    changes.rooms.world.stop().await;
}
