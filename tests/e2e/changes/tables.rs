//! Tables that appear, and whose definition changes, while clients have subscribed to them.

use serde_json::json;

use super::{Changes, change, expect_subscribed, join, record, system};

#[tokio::test]
async fn a_subscription_to_all_tables_sees_a_new_one_at_once() {
    let changes = Changes::start().await;
    let mut ann = changes.subscribed("ann", &json!([{"schema": "public", "table": "*"}])).await;
    changes.postgres().sql(
        "CREATE TABLE public.later (id int PRIMARY KEY); GRANT SELECT ON public.later TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.later; INSERT INTO public.later VALUES (7)",
    );
    expect_subscribed(&mut ann).await;
    let (_, data) = change(&mut ann).await;
    assert_eq!((&data["table"], &data["record"]), (&json!("later"), &json!({"id": 7})));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn columns_are_added_and_dropped_and_renamed() {
    let changes = Changes::start().await;
    let binding = json!([{"event": "INSERT", "schema": "public", "table": "todos", "filter": "title=eq.x"}]);
    let mut ann = changes.subscribed("ann", &binding).await;
    let insert = "INSERT INTO public.todos (id, title) VALUES";
    changes.postgres().sql(&format!(
        "ALTER TABLE public.todos ADD COLUMN note text DEFAULT 'n'; {insert} (1, 'y'), (2, 'x')"
    ));
    expect_subscribed(&mut ann).await;
    assert_eq!(
        record(&mut ann).await,
        json!({"id": 2, "title": "x", "user_id": null, "done": false, "note": "n"})
    );
    changes.postgres().sql(&format!("ALTER TABLE public.todos DROP COLUMN user_id; {insert} (3, 'x')"));
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await, json!({"id": 3, "title": "x", "done": false, "note": "n"}));
    changes
        .postgres()
        .sql(&format!("ALTER TABLE public.todos RENAME COLUMN note TO remark; {insert} (4, 'x')"));
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await, json!({"id": 4, "title": "x", "done": false, "remark": "n"}));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_client_that_subscribes_right_after_the_first_table_was_published_does_not_wait() {
    let changes = Changes::start().await;
    changes.postgres().sql("ALTER PUBLICATION supabase_realtime DROP TABLE public.todos");
    let bindings = json!([{"schema": "public", "table": "todos"}]);
    let mut early = changes.client("ann").await;
    join(&mut early, &bindings).await;
    let reason =
        "Changes of the database are not available: the publication `supabase_realtime` has no table";
    assert_eq!(system(&mut early).await, ("error".to_owned(), reason.to_owned()));
    changes.postgres().sql("ALTER PUBLICATION supabase_realtime ADD TABLE public.todos");
    let mut ann = changes.client("ann").await;
    join(&mut ann, &bindings).await;
    expect_subscribed(&mut ann).await;
    changes.rooms.world.stop().await;
}
