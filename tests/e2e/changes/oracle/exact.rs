//! Rows under row level security that were changed again before it was asked who may see them, and `changes.exact_visibility`.

use serde_json::{Value, json};

use super::{Oracle, ask, subscribe};
use crate::changes::{Changes, OWN_ROWS, change, next, table};

/// A row of `ann`'s that becomes one of `bob`'s before it is looked up.
const HANDED_OVER: &str = "
    INSERT INTO public.todos VALUES (1, 'of ann', 'ann'), (2, 'of both', 'bob');
    UPDATE public.todos SET title = 'of bob', user_id = 'bob' WHERE id = 1;
    UPDATE public.todos SET title = title WHERE id = 2";

#[tokio::test]
async fn a_row_that_was_not_visible_is_not_received_once_a_later_one_is() {
    let changes = Changes::start().await;
    changes.postgres().sql(OWN_ROWS);
    let all = table("todos");
    let (mut ann, mut bob) = (changes.subscribed("ann", &all).await, changes.subscribed("bob", &all).await);
    // In one transaction, so that the lookup finds the last state.
    for (is_exact, expected) in [
        (false, &["INSERT of ann", "INSERT of both", "UPDATE of bob", "UPDATE of both"][..]),
        (true, &["INSERT of both", "UPDATE of bob", "UPDATE of both"]),
    ] {
        changes.world().apply(|settings| settings.changes.exact_visibility = is_exact);
        changes.postgres().sql(HANDED_OVER);
        for expected in expected {
            let (_, data) = change(&mut bob).await;
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            assert_eq!(
                format!("{} {}", text(&data["type"]), text(&data["record"]["title"])),
                *expected,
                "{is_exact}"
            );
        }
        changes.postgres().sql("DELETE FROM public.todos");
        for client in [&mut ann, &mut bob] {
            for _ in 0..2 {
                assert_eq!(change(client).await.1["type"], "DELETE", "{is_exact}");
            }
        }
    }
    changes.rooms.world.stop().await;
}

// Texts that the log and the lookup write differently would hide rows that did not change.
#[tokio::test]
async fn rows_with_values_of_all_types_are_received_while_they_are_unchanged() {
    let oracle = Oracle::start().await;
    oracle.changes.world().apply(|settings| settings.changes.exact_visibility = true);
    for number in 0..oracle.cases.len() {
        oracle.postgres().sql(&format!(
            "ALTER TABLE oracle.t{number} ENABLE ROW LEVEL SECURITY, ADD large text NOT NULL DEFAULT repeat('apart ', 800);
             ALTER TABLE oracle.t{number} ALTER large SET STORAGE EXTERNAL, REPLICA IDENTITY DEFAULT;
             CREATE POLICY own ON oracle.t{number}
                 USING (current_setting('request.jwt.claims', true)::jsonb ->> 'sub' = 'ann')"
        ));
    }
    let mut client = oracle.changes.client("ann").await;
    let table = json!({"schema": "oracle", "table": "*"});
    subscribe(&mut client, "realtime:room", &[table]).await;
    for (number, case) in oracle.cases.iter().enumerate() {
        let insert =
            case.insert(number).replace(&format!("t{number} VALUES"), &format!("t{number} (id, v) VALUES"));
        for (kind, write) in [("INSERT", insert), ("UPDATE", format!("UPDATE oracle.t{number} SET v = v"))] {
            oracle.postgres().sql(&write);
            let rows = ask(oracle.postgres(), &format!("SELECT count(*) FROM oracle.t{number}"));
            for _ in 0..rows.as_u64().expect("a number") {
                let message = next(&mut client).await;
                let data = &message["payload"]["data"];
                let received = (&data["table"], &data["type"]);
                assert_eq!(
                    received,
                    (&json!(format!("t{number}")), &json!(kind)),
                    "{}: {message}",
                    case.sql_type
                );
            }
        }
    }
    oracle.changes.rooms.world.stop().await;
}
