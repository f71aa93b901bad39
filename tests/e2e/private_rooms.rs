//! Private rooms: the policies in the database of the tenant decide who may do what (docs/protocol/private-rooms.md).

mod faults;
mod http;
pub(crate) mod operators;
mod questions;
mod refresh;
mod rights;

use std::time::Duration;

use harness::{Client, Dialect, Frame, Postgres, World, eventually_within};
use serde_json::{Value, json};
use settings::Settings;

const ROOM: &str = "realtime:room";

/// What a user may do in a room, as rows that the policies read.
pub(crate) const POLICIES: &str = "
    CREATE TABLE public.rights (sub text, topic text, action text);
    GRANT SELECT ON public.rights TO authenticated;
    CREATE FUNCTION public.may(action text) RETURNS boolean STABLE LANGUAGE sql AS $$
        SELECT EXISTS (SELECT 1 FROM public.rights AS r
            WHERE r.sub = current_setting('request.jwt.claims', true)::jsonb ->> 'sub'
              AND r.topic = realtime.topic() AND r.action = may.action)
    $$;
    CREATE POLICY reads ON realtime.messages FOR SELECT TO authenticated
        USING (public.may('read ' || extension));
    CREATE POLICY writes ON realtime.messages FOR INSERT TO authenticated
        WITH CHECK (public.may('write ' || extension));";

/// A server whose default tenant has a database with these policies.
pub(crate) struct PrivateRooms {
    pub(crate) world: World,
    pub(crate) postgres: Postgres,
}

impl PrivateRooms {
    pub(crate) async fn start() -> PrivateRooms {
        PrivateRooms::with(Postgres::start(), |_| {}).await
    }

    /// With this database, and settings that `change` changes.
    pub(crate) async fn with(postgres: Postgres, change: impl FnOnce(&mut Settings)) -> PrivateRooms {
        let url = postgres.url();
        let world = World::with(|settings| {
            settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
            change(settings);
        })
        .await;
        let rooms = PrivateRooms { world, postgres };
        rooms.prepare().await;
        rooms
    }

    /// Joins a public room, so that the server makes the schema, and adds the policies.
    pub(crate) async fn prepare(&self) {
        let mut first = self.world.connect().await;
        first.join("realtime:any", json!({})).await;
        let today = "SELECT count(*) > 4 FROM pg_inherits WHERE inhparent = to_regclass('realtime.messages')";
        // Hundreds of statements, beside those of the other tests.
        let limit = Duration::from_secs(30);
        eventually_within(limit, "the schema is made", async || self.postgres.sql(today) == "t").await;
        self.postgres.sql(POLICIES);
    }

    pub(crate) fn allow(&self, sub: &str, actions: &[&str]) {
        for action in actions {
            self.postgres.sql(&format!("INSERT INTO public.rights VALUES ('{sub}', 'room', '{action}')"));
        }
    }

    pub(crate) fn withdraw(&self, sub: &str, action: &str) {
        self.postgres.sql(&format!("DELETE FROM public.rights WHERE sub = '{sub}' AND action = '{action}'"));
    }

    /// A token of a user, the `number`th.
    pub(crate) fn token(&self, sub: &str, number: u32) -> String {
        let claims = json!({"role": "authenticated", "sub": sub, "exp": 4_000_000_000_u64, "number": number});
        self.world.sign(&claims)
    }

    pub(crate) async fn connect(&self, sub: &str) -> Client {
        self.connect_with(&self.token(sub, 0)).await
    }

    pub(crate) async fn connect_with(&self, token: &str) -> Client {
        let target = format!("/socket/websocket?apikey={token}&vsn=2.0.0");
        self.world.connect_to(Dialect::V2, &target).await.expect("the handshake succeeds")
    }

    /// A client that has joined the private room.
    pub(crate) async fn joined(&self, sub: &str, config: Value) -> Client {
        let mut client = self.connect(sub).await;
        assert_eq!(join(&mut client, config).await, Value::Null);
        client
    }
}

/// A cluster of its own with a role that needs a password, and the URLs with the right one and a wrong one.
pub(crate) fn with_password() -> (Postgres, [String; 2]) {
    let postgres = Postgres::alone(&["password_encryption=scram-sha-256"]);
    postgres.sql("CREATE ROLE own SUPERUSER LOGIN PASSWORD 'right'");
    let hba =
        "host all own 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n";
    postgres.write_file("pg_hba.conf", hba.as_bytes());
    postgres.sql("SELECT pg_reload_conf()");
    let with = |password: &str| postgres.url().replace("postgres@", &format!("own:{password}@"));
    let urls = ["right", "wrong"].map(with);
    (postgres, urls)
}

/// Joins the private room. The reason why not, if it is refused.
pub(crate) async fn join(client: &mut Client, mut config: Value) -> Value {
    config["private"] = true.into();
    client.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    reply(client, "1").await
}

/// The reason in the reply to a message; null if it is ok.
async fn reply(client: &mut Client, reference: &str) -> Value {
    loop {
        let frame = client.next_json().await;
        if frame[1] == reference {
            return frame[4]["response"]["reason"].clone();
        }
    }
}

/// Sends a broadcast that is to be acknowledged. The reason why it is refused, if it is.
async fn send(client: &mut Client, reference: &str, text: &str) -> Value {
    let payload = json!({"type": "broadcast", "event": "e", "payload": {"text": text}});
    client.push(reference, ROOM, "broadcast", &payload).await;
    reply(client, reference).await
}

/// The texts of the broadcasts that a client has received so far.
async fn texts(client: &mut Client) -> Vec<String> {
    let frames = client.received().await;
    let broadcasts = frames.iter().filter_map(|frame| match frame {
        Frame::Json(message) if message[3] == "broadcast" => message[4]["payload"]["text"].as_str(),
        _ => None,
    });
    broadcasts.map(str::to_owned).collect()
}

fn may_not_read() -> Value {
    "Unauthorized: You do not have permissions to read from this Channel topic: room".into()
}
