//! Row level security, and what roles may read.

use serde_json::{Value, json};

use super::{Changes, NOTE_QUESTION, OWN_ROWS, change, record, table};

#[tokio::test]
async fn each_user_sees_its_own_rows_and_all_see_deletions() {
    let changes = Changes::start().await;
    changes.postgres().sql(OWN_ROWS);
    let (mut ann, mut bob) =
        (changes.subscribed("ann", &table("todos")).await, changes.subscribed("bob", &table("todos")).await);
    changes
        .postgres()
        .sql("INSERT INTO public.todos VALUES (1, 'a', 'ann'), (2, 'b', 'bob'), (3, 'c', 'ann')");
    assert_eq!(record(&mut ann).await["id"], 1);
    assert_eq!(record(&mut ann).await["id"], 3);
    assert_eq!(record(&mut bob).await["id"], 2);
    changes.postgres().sql("DELETE FROM public.todos WHERE id = 1");
    for client in [&mut ann, &mut bob] {
        assert_eq!(change(client).await.1["old_record"], json!({"id": 1}));
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_policy_that_raises_for_one_user_concerns_no_other() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
         CREATE FUNCTION public.may() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF current_setting('request.jwt.claims')::jsonb ->> 'sub' = 'bob' THEN RAISE 'not bob'; END IF;
             RETURN true;
         END $$;
         CREATE POLICY own ON public.todos FOR SELECT TO authenticated USING (public.may())",
    );
    let (mut ann, mut bob) =
        (changes.subscribed("ann", &table("todos")).await, changes.subscribed("bob", &table("todos")).await);
    for id in 1..=3 {
        changes.postgres().sql(&format!("INSERT INTO public.todos VALUES ({id}, 'a', 'ann')"));
        assert_eq!(record(&mut ann).await["id"], id);
    }
    bob.expect_quiet().await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_row_is_hidden_by_what_its_own_transaction_has_revoked_before() {
    let changes = Changes::start().await;
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    // What the role may read was found out a moment ago.
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'a', 'ann')");
    assert_eq!(record(&mut ann).await["id"], 1);
    changes.postgres().sql(
        "BEGIN; ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
         CREATE POLICY later ON public.todos FOR SELECT TO authenticated USING (id > 2);
         INSERT INTO public.todos VALUES (2, 'a', 'ann'), (3, 'a', 'ann'); COMMIT",
    );
    assert_eq!(record(&mut ann).await["id"], 3);
    changes.postgres().sql(
        "BEGIN; REVOKE SELECT ON public.todos FROM authenticated;
         INSERT INTO public.todos VALUES (4, 'a', 'ann'); COMMIT",
    );
    assert_eq!(change(&mut ann).await.1["errors"], json!(["Error 401: Unauthorized"]));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn policies_apply_for_a_server_whose_role_has_row_security_off() {
    let changes = Changes::start().await;
    changes.postgres().sql(OWN_ROWS);
    changes.postgres().sql("ALTER SYSTEM SET row_security = off");
    changes.postgres().sql("SELECT pg_reload_conf()");
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'a', 'bob'), (2, 'b', 'ann')");
    assert_eq!(record(&mut ann).await["id"], 2);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn columns_that_a_role_may_not_read_are_left_out_and_without_the_key_there_is_no_row() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "REVOKE SELECT ON public.todos FROM authenticated; GRANT SELECT (id, title) ON public.todos TO authenticated;
         CREATE TABLE public.keyless (n int); GRANT SELECT ON public.keyless TO authenticated;
         CREATE TABLE public.secret (id int PRIMARY KEY, n int); GRANT SELECT (n) ON public.secret TO authenticated;
         CREATE SCHEMA shop; CREATE TABLE shop.unusable (id int PRIMARY KEY); GRANT SELECT ON shop.unusable TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.keyless, public.secret, shop.unusable",
    );
    let bindings = json!([
        {"schema": "public", "table": "todos"},
        {"schema": "public", "table": "keyless"},
        {"schema": "public", "table": "secret"},
        {"schema": "shop", "table": "unusable"},
    ]);
    let mut ann = changes.subscribed("ann", &bindings).await;
    changes.postgres().sql(
        "INSERT INTO public.todos VALUES (1, 'a', 'ann'); INSERT INTO public.keyless VALUES (1); INSERT INTO public.secret VALUES (1, 1);
         INSERT INTO shop.unusable VALUES (1)",
    );
    let (_, todo) = change(&mut ann).await;
    assert_eq!(todo["record"], json!({"id": 1, "title": "a"}));
    assert_eq!(todo["columns"], json!([{"name": "id", "type": "int4"}, {"name": "title", "type": "text"}]));
    let unauthorized = "Error 401: Unauthorized";
    for error in ["Error 400: Bad Request, no primary key", unauthorized, unauthorized] {
        let (_, data) = change(&mut ann).await;
        assert_eq!((&data["errors"], &data["record"]), (&json!([error]), &json!({})));
        assert_eq!((&data["columns"], &data["commit_timestamp"]), (&json!([]), &Value::Null));
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_slow_policy_of_one_user_delays_others_once() {
    let changes = Changes::start().await;
    changes.postgres().sql(&format!(
        "ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
         CREATE FUNCTION public.may() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF current_setting('request.jwt.claims')::jsonb ->> 'sub' = 'bob' THEN {NOTE_QUESTION} PERFORM pg_sleep(60); END IF;
             RETURN true;
         END $$;
         CREATE POLICY own ON public.todos FOR SELECT TO authenticated USING (public.may())"
    ));
    let (mut ann, mut bob) =
        (changes.subscribed("ann", &table("todos")).await, changes.subscribed("bob", &table("todos")).await);
    for id in 1..=10 {
        changes.postgres().sql(&format!("INSERT INTO public.todos VALUES ({id}, 'a', 'ann')"));
        assert_eq!(record(&mut ann).await["id"], id);
        assert_eq!(changes.questions(), 1, "it is not asked again");
    }
    super::expect_gap(&mut bob).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_role_that_the_server_may_not_act_as_is_refused_with_the_grant_that_permits_it() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "CREATE ROLE limited LOGIN REPLICATION; GRANT authenticated TO limited; GRANT SELECT ON realtime.schema_migrations TO limited;
         CREATE ROLE beyond SUPERUSER",
    );
    let (url, user) = (changes.postgres().url(), "limited");
    let (_, rest) = url.split_once('@').expect("a user");
    let url = format!("postgres://{user}@{rest}");
    changes.world().apply(|settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    });
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    let claims = json!({"role": "beyond", "sub": "eve", "exp": 4_000_000_000_u64});
    let target = format!("/socket/websocket?apikey={}&vsn=1.0.0", changes.world().sign(&claims));
    let mut eve =
        changes.world().connect_to(harness::Dialect::V1, &target).await.expect("the handshake succeeds");
    super::join(&mut eve, &table("todos")).await;
    let (status, message) = super::system(&mut eve).await;
    let refusal = "Exception: ERROR 42501 (insufficient_privilege) the server may not act as this role: it needs `GRANT beyond TO limited`";
    assert!(status == "error" && message.ends_with(refusal), "{message}");
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'a', 'ann')");
    assert_eq!(record(&mut ann).await["id"], 1);
    eve.expect_quiet().await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn deletions_do_not_reach_a_role_that_may_not_read_the_table() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "CREATE SCHEMA hidden; CREATE TABLE hidden.inside (id int PRIMARY KEY); GRANT SELECT ON hidden.inside TO authenticated;
         CREATE TABLE public.revoked (id int PRIMARY KEY);
         ALTER PUBLICATION supabase_realtime ADD TABLE hidden.inside, public.revoked",
    );
    let mut ann = changes.subscribed("ann", &json!([{"event": "DELETE", "schema": "*", "table": "*"}])).await;
    changes.postgres().sql(
        "INSERT INTO hidden.inside VALUES (1); INSERT INTO public.revoked VALUES (1); INSERT INTO public.todos VALUES (1, 'a', 'ann');
         DELETE FROM hidden.inside; DELETE FROM public.revoked; DELETE FROM public.todos",
    );
    let (_, data) = change(&mut ann).await;
    assert_eq!((&data["table"], &data["old_record"]), (&json!("todos"), &json!({"id": 1})));
    changes.rooms.world.stop().await;
}
