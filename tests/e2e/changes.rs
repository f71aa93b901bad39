//! Postgres Changes: what clients receive of the changes of tables (docs/protocol/postgres-changes.md).

mod checks;
mod definitions;
mod domains;
mod durable;
mod faults;
mod filters;
mod memory;
mod nodes;
mod numbered;
mod oracle;
mod outages;
mod plans;
mod policies;
mod publication;
mod roles;
mod slow_policies;
mod slow_readers;
mod standby;
mod storms;
mod synchronous;
mod tables;
mod waiting;

use harness::{Client, Dialect, Postgres, World};
use serde_json::{Value, json};

use crate::private_rooms::PrivateRooms;

/// A server whose default tenant has a database with a published table.
pub(crate) struct Changes {
    pub(crate) rooms: PrivateRooms,
}

const TOPIC: &str = "realtime:room";

const TABLES: &str = "
    CREATE TABLE public.todos (id int PRIMARY KEY, title text, user_id text, done boolean NOT NULL DEFAULT false);
    GRANT SELECT ON public.todos TO authenticated;
    ALTER PUBLICATION supabase_realtime ADD TABLE public.todos";

/// Users see the rows with their name.
const OWN_ROWS: &str = "
    ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.todos FOR SELECT TO authenticated
        USING (user_id = (current_setting('request.jwt.claims', true)::jsonb ->> 'sub'))";

/// One user sees all rows.
const ROWS_OF_ANN: &str = "
    ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.todos FOR SELECT TO authenticated
        USING (current_setting('request.jwt.claims', true)::jsonb ->> 'sub' = 'ann')";

/// A statement of a policy that leaves a trace although its transaction is read-only and may be cancelled.
const NOTE_QUESTION: &str = "RAISE LOG 'asked in %', current_database();";

impl Changes {
    /// Starts both.
    pub(crate) async fn start() -> Self {
        Self::with(Postgres::start()).await
    }

    /// Starts the server, with this database.
    pub(crate) async fn with(postgres: Postgres) -> Self {
        let rooms = PrivateRooms::with(postgres, |_| {}).await;
        rooms.postgres.sql(TABLES);
        Self { rooms }
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        &self.rooms.postgres
    }

    pub(crate) fn world(&self) -> &World {
        &self.rooms.world
    }

    /// How often [`NOTE_QUESTION`] has run in this database. Unlike the time that questions take, it is the same on a busy machine.
    fn questions(&self) -> usize {
        let noted = format!("asked in {}\n", self.postgres().sql("SELECT current_database()"));
        self.postgres().log().matches(&noted).count()
    }

    /// A user's client, which has not joined.
    pub(crate) async fn client(&self, user: &str) -> Client {
        let target = format!("/socket/websocket?apikey={}&vsn=1.0.0", self.rooms.token(user, 0));
        self.world().connect_to(Dialect::V1, &target).await.expect("the handshake succeeds")
    }

    /// A user's client that has subscribed.
    pub(crate) async fn subscribed(&self, user: &str, bindings: &Value) -> Client {
        let mut client = self.client(user).await;
        join(&mut client, bindings).await;
        expect_subscribed(&mut client).await;
        client
    }
}

/// Bindings for all changes of a table.
pub(crate) fn table(name: &str) -> Value {
    json!([{"schema": "public", "table": name}])
}

/// Joins with these bindings. Returns what the reply returns of them.
pub(crate) async fn join(client: &mut Client, bindings: &Value) -> Value {
    client.push("1", TOPIC, "phx_join", &json!({ "config": { "postgres_changes": bindings } })).await;
    let mut reply = next(client).await;
    assert_eq!(reply["payload"]["status"], "ok", "{reply}");
    reply["payload"]["response"]["postgres_changes"].take()
}

/// The next message that is about changes: not one about presence, or about broadcasts of the database.
pub(crate) async fn next(client: &mut Client) -> Value {
    loop {
        let message = client.next_json().await;
        let is_about_broadcasts = message["event"] == "system" && message["payload"]["extension"] == "system";
        if message["event"] != "presence_state" && !is_about_broadcasts {
            return message;
        }
    }
}

/// The next `system` message of a subscription.
pub(crate) async fn system(client: &mut Client) -> (String, String) {
    let message = next(client).await;
    assert_eq!(message["event"], "system", "{message}");
    let payload = &message["payload"];
    assert_eq!(payload["channel"], "room");
    let text = |key: &str| payload[key].as_str().expect("text").to_owned();
    (text("status"), text("message"))
}

pub(crate) async fn expect_subscribed(client: &mut Client) {
    assert_eq!(system(client).await, ("ok".to_owned(), "Subscribed to PostgreSQL".to_owned()));
}

pub(crate) async fn expect_gap(client: &mut Client) {
    assert_eq!(system(client).await, ("ok".to_owned(), "Changes may have been missed".to_owned()));
}

/// The ids and the data of the next change.
pub(crate) async fn change(client: &mut Client) -> (Value, Value) {
    let mut message = next(client).await;
    assert_eq!(message["event"], "postgres_changes", "{message}");
    let payload = message["payload"].take();
    (payload["ids"].clone(), payload["data"].clone())
}

/// The new row of the next change.
pub(crate) async fn record(client: &mut Client) -> Value {
    change(client).await.1["record"].clone()
}

#[tokio::test]
async fn a_subscriber_receives_what_is_committed_after_it_was_subscribed() {
    let changes = Changes::start().await;
    let mut ann = changes.client("ann").await;
    let bindings = json!([
        {"event": "*", "schema": "public", "table": "todos"},
        {"event": "DELETE", "schema": "public", "table": "todos", "extra": [1]},
    ]);
    let echo = join(&mut ann, &bindings).await;
    let ids: Vec<Value> =
        echo.as_array().expect("a list").iter().map(|binding| binding["id"].clone()).collect();
    for (binding, id) in bindings.as_array().expect("a list").iter().zip(&ids) {
        let mut expected = binding.clone();
        expected["id"] = id.clone();
        assert!(echo.as_array().expect("a list").contains(&expected), "{echo}");
    }
    expect_subscribed(&mut ann).await;
    changes.postgres().sql(
        "INSERT INTO public.todos VALUES (1, 'one', 'ann'); UPDATE public.todos SET title = 'two'; DELETE FROM public.todos",
    );
    let columns = json!([
        {"name": "id", "type": "int4"}, {"name": "title", "type": "text"},
        {"name": "user_id", "type": "text"}, {"name": "done", "type": "bool"},
    ]);
    let (of_insert, insert) = change(&mut ann).await;
    assert_eq!(of_insert, json!([ids[0]]));
    let at = insert["commit_timestamp"].as_str().expect("a time").to_owned();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert_eq!(
        insert,
        json!({
            "schema": "public", "table": "todos", "type": "INSERT", "commit_timestamp": at, "columns": columns,
            "record": {"id": 1, "title": "one", "user_id": "ann", "done": false}, "errors": null,
        })
    );
    let (_, update) = change(&mut ann).await;
    assert_eq!(update["record"]["title"], "two");
    assert_eq!(update["old_record"], json!({"id": 1}), "the key");
    let (of_delete, delete) = change(&mut ann).await;
    assert_eq!(of_delete, json!([ids[1], ids[0]]), "the last one first");
    assert_eq!((&delete["old_record"], &delete["record"]), (&json!({"id": 1}), &Value::Null));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn clients_of_the_old_form_name_the_table_in_the_topic() {
    let changes = Changes::start().await;
    let mut ann = changes.client("ann").await;
    ann.push("1", "realtime:public:todos:id=eq.2", "phx_join", &json!({})).await;
    let reply = next(&mut ann).await;
    let entry = &reply["payload"]["response"]["postgres_changes"][0];
    assert_eq!(
        (&entry["schema"], &entry["table"], &entry["filter"]),
        (&json!("public"), &json!("todos"), &json!("id=eq.2"))
    );
    assert_eq!(next(&mut ann).await["payload"]["message"], "Subscribed to PostgreSQL");
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'one', 'ann'), (2, 'two', 'ann')");
    let message = next(&mut ann).await;
    assert_eq!((&message["event"], &message["payload"]["record"]["id"]), (&json!("INSERT"), &json!(2)));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused_with_upstreams_words() {
    let changes = Changes::start().await;
    for (binding, text) in [
        (
            json!({"event": "*"}),
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: %{\"event\" => \"*\"}",
        ),
        (
            json!({"table": "todos", "schema": "public", "filter": "id=foo.1"}),
            "Error parsing `filter` params: [\"foo\", \"1\"]",
        ),
        (
            json!({"event": "INSERT", "schema": "public", "table": "ghosts"}),
            "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: [event: INSERT, schema: public, table: ghosts, filters: [], select: nil]",
        ),
        (
            json!({"schema": "public", "table": "todos", "filter": "nothing=eq.1"}),
            "Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: [event: *, schema: public, table: todos, filters: [{\"nothing\", \"eq\", \"1\", false}], select: nil]. Exception: ERROR P0001 (raise_exception) invalid column for filter nothing",
        ),
    ] {
        let mut ann = changes.client("ann").await;
        join(&mut ann, &json!([binding])).await;
        let (status, message) = system(&mut ann).await;
        assert_eq!((status.as_str(), message.as_str()), ("error", text));
        ann.expect_quiet().await;
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_token_refresh_changes_what_is_seen_and_is_noticed() {
    let changes = Changes::start().await;
    changes.postgres().sql(OWN_ROWS);
    let mut client = changes.subscribed("ann", &table("todos")).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'a', 'ann'), (2, 'b', 'bob')");
    assert_eq!(record(&mut client).await["id"], 1);
    let token = changes.rooms.token("bob", 0);
    client.push("2", TOPIC, "access_token", &json!({ "access_token": token })).await;
    expect_subscribed(&mut client).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (3, 'a', 'ann'), (4, 'b', 'bob')");
    assert_eq!(record(&mut client).await["id"], 4);
    changes.rooms.world.stop().await;
}

// Another session would wait for the transactions that are open, and the client with it. In a cluster of its own, since a new slot
// of any database does.
#[tokio::test]
async fn the_only_channel_that_comes_back_finds_the_session_that_was_there() {
    let changes = Changes::with(Postgres::alone(&[])).await;
    let all = table("todos");
    let session = "SELECT pid FROM pg_stat_activity WHERE application_name = 'realtime_rls' AND datname = current_database()";
    let mut ann = changes.subscribed("ann", &all).await;
    let before = changes.postgres().sql(session);
    ann.push("2", TOPIC, "phx_leave", &json!({})).await;
    while next(&mut ann).await["event"] != "phx_close" {}
    let mut transaction = changes.postgres().session();
    transaction.run("BEGIN; INSERT INTO public.todos VALUES (1, 'one', 'ann')");
    join(&mut ann, &all).await;
    expect_subscribed(&mut ann).await;
    transaction.run("COMMIT");
    assert_eq!(record(&mut ann).await["id"], 1);
    ann.expect_quiet().await;
    assert_eq!(changes.postgres().sql(session), before);
    changes.rooms.world.stop().await;
}
