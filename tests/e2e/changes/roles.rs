//! Roles and claims of subscribers: what does not exist, is dropped, made again, or is large.

use harness::{Client, Dialect};
use serde_json::{Value, json};

use super::{Changes, ROWS_OF_ANN, expect_subscribed, join, record, system};

fn all() -> Value {
    json!([{"event": "INSERT", "schema": "public", "table": "todos"}])
}

/// A client with these claims, which has not joined.
async fn client_with(changes: &Changes, claims: &Value) -> Client {
    let target = format!("/socket/websocket?apikey={}&vsn=1.0.0", changes.world().sign(claims));
    changes.world().connect_to(Dialect::V1, &target).await.expect("the handshake succeeds")
}

/// Inserts rows until one is received, because what roles may read is known for a second.
async fn until_received(changes: &Changes, client: &mut Client, first: i64) -> i64 {
    let mut number = first;
    harness::eventually("rows are received", async || {
        number += 1;
        changes.postgres().sql(&format!("INSERT INTO public.todos (id) VALUES ({number})"));
        !client.received().await.is_empty()
    })
    .await;
    number
}

/// Inserts rows until none is received any more.
async fn until_quiet(changes: &Changes, client: &mut Client, other: &mut Client, first: i64) -> i64 {
    let mut number = first;
    harness::eventually("no rows are received any more", async || {
        number += 1;
        changes.postgres().sql(&format!("INSERT INTO public.todos (id) VALUES ({number})"));
        assert_eq!(record(other).await["id"], number, "others receive all");
        client.received().await.is_empty()
    })
    .await;
    number
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_named_and_one_that_is_dropped_sees_nothing() {
    let changes = Changes::start().await;
    let role = changes.postgres().sql("SELECT 'writer_of_' || current_database()");
    let claims = json!({"role": role, "sub": "eve", "exp": 4_000_000_000_u64});
    let mut ghost = client_with(&changes, &claims).await;
    join(&mut ghost, &all()).await;
    let (status, message) = system(&mut ghost).await;
    let expected = format!("Exception: ERROR 42704 (undefined_object) role \"{role}\" does not exist");
    assert!(status == "error" && message.ends_with(&expected), "{message}");

    let make = format!("CREATE ROLE {role}; GRANT SELECT ON public.todos TO {role}");
    changes.postgres().sql(&make);
    let mut ann = changes.subscribed("ann", &all()).await;
    let mut eve = client_with(&changes, &claims).await;
    join(&mut eve, &all()).await;
    expect_subscribed(&mut eve).await;
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (0)");
    for client in [&mut ann, &mut eve] {
        assert_eq!(record(client).await["id"], 0);
    }
    changes.postgres().sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    let last = until_quiet(&changes, &mut eve, &mut ann, 0).await;
    changes.postgres().sql(&make);
    until_received(&changes, &mut eve, last).await;
    changes.postgres().sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn policies_that_change_apply_to_those_who_have_subscribed() {
    let changes = Changes::start().await;
    let (mut ann, mut bob) =
        (changes.subscribed("ann", &all()).await, changes.subscribed("bob", &all()).await);
    changes.postgres().sql(ROWS_OF_ANN);
    let last = until_quiet(&changes, &mut bob, &mut ann, 0).await;
    changes.postgres().sql("ALTER POLICY own ON public.todos USING (current_setting('request.jwt.claims', true)::jsonb ->> 'sub' = 'bob')");
    let last = until_quiet(&changes, &mut ann, &mut bob, last).await;
    changes
        .postgres()
        .sql("DROP POLICY own ON public.todos; CREATE POLICY all_rows ON public.todos USING (true)");
    until_received(&changes, &mut ann, last).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn policies_that_recurse_hide_rows_from_those_whom_they_apply_to() {
    let changes = Changes::start().await;
    let limit = changes.postgres().sql("SELECT 'limited_in_' || current_database()");
    changes.postgres().sql(&format!(
        "CREATE ROLE {limit}; GRANT SELECT ON public.todos TO {limit};
         ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON public.todos FOR SELECT TO authenticated
             USING (current_setting('request.jwt.claims', true)::jsonb ->> 'sub' = 'ann');
         CREATE POLICY recurses ON public.todos FOR SELECT TO {limit} USING (EXISTS (SELECT FROM public.todos))"
    ));
    let mut ann = changes.subscribed("ann", &all()).await;
    let claims = json!({"role": limit, "sub": "ann", "exp": 4_000_000_000_u64});
    let mut eve = client_with(&changes, &claims).await;
    join(&mut eve, &all()).await;
    expect_subscribed(&mut eve).await;
    for id in 1..=3 {
        changes.postgres().sql(&format!("INSERT INTO public.todos (id) VALUES ({id})"));
        assert_eq!(record(&mut ann).await["id"], id);
    }
    eve.expect_quiet().await;
    changes.postgres().sql(&format!(
        "DROP POLICY recurses ON public.todos; CREATE POLICY all_rows ON public.todos TO {limit} USING (true)"
    ));
    until_received(&changes, &mut eve, 3).await;
    changes.postgres().sql(&format!("DROP OWNED BY {limit}; DROP ROLE {limit}"));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn claims_of_8_kilobytes_are_read_by_policies() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON public.todos FOR SELECT TO authenticated
             USING (user_id = current_setting('request.jwt.claims', true)::jsonb -> 'teams' ->> 400)",
    );
    let mut client = changes.client("ann").await;
    let teams: Vec<String> = (0..401).map(|number| format!("team '{number}' \\ \"q\" ü")).collect();
    let claims = json!({"role": "authenticated", "sub": "ann", "exp": 4_000_000_000_u64, "teams": teams});
    assert!(claims.to_string().len() > 8_192);
    let payload =
        json!({"access_token": changes.world().sign(&claims), "config": {"postgres_changes": all()}});
    client.push("1", super::TOPIC, "phx_join", &payload).await;
    let reply = super::next(&mut client).await;
    assert_eq!(reply["payload"]["status"], "ok", "{reply}");
    expect_subscribed(&mut client).await;
    changes
        .postgres()
        .sql(r#"INSERT INTO public.todos VALUES (1, '', 'another'), (2, '', 'team ''400'' \ "q" ü')"#);
    assert_eq!(record(&mut client).await["id"], 2);
    changes.rooms.world.stop().await;
}
