//! Several nodes: each reads for its own clients, so what happens to one of them, or to the bus, is missed by no client of another.

use harness::{Client, Dialect, Postgres, Redis, RedisOptions, World, eventually};
use serde_json::{Value, json};
use settings::Settings;
use tokio::task::spawn_blocking;

use super::{Changes, OWN_ROWS, TABLES, change, expect_subscribed, join, record, system, table};
use crate::bus::{wait_for_disconnect, wait_for_nodes};
use crate::private_rooms::PrivateRooms;

/// The slots in the database of the test, which readers of broadcasts and of changes have.
const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";

/// Two nodes on one bus, with the same database.
struct Nodes {
    one: Changes,
    two: World,
}

impl Nodes {
    async fn start(redis: &Redis, postgres: Postgres) -> Self {
        let (bus, database) = (redis.url(), postgres.url());
        let share = |settings: &mut Settings| {
            settings.bus.redis_url = Some(bus.clone().into());
            settings.tenants.entry("default".into()).or_default().database.url =
                Some(database.clone().into());
        };
        let one = Changes { rooms: PrivateRooms::with(postgres, share).await };
        one.postgres().sql(TABLES);
        let two = one.world().beside(share).await;
        for node in [one.world(), &two] {
            wait_for_nodes(node, 2).await;
        }
        Self { one, two }
    }

    /// A client of the second node, which has not joined.
    async fn client_of_two(&self, user: &str) -> Client {
        let target = target(&self.one.rooms, user);
        self.two.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds")
    }

    /// A client of the second node that has subscribed.
    async fn subscribed_to_two(&self, user: &str, bindings: &Value) -> Client {
        let mut client = self.client_of_two(user).await;
        join(&mut client, bindings).await;
        expect_subscribed(&mut client).await;
        client
    }

    async fn stop(self) {
        self.one.rooms.world.stop().await;
        self.two.stop().await;
    }
}

fn target(rooms: &PrivateRooms, user: &str) -> String {
    format!("/socket/websocket?apikey={}&vsn=1.0.0", rooms.token(user, 0))
}

fn insert(ids: impl IntoIterator<Item = i32>) -> String {
    let rows: Vec<String> = ids.into_iter().map(|id| format!("({id}, 'x', 'ann')")).collect();
    format!("INSERT INTO public.todos VALUES {}", rows.join(", "))
}

/// The next messages are these rows, and no notice is among them.
async fn expect_rows(client: &mut Client, ids: impl IntoIterator<Item = i32>) {
    for id in ids {
        assert_eq!(record(client).await["id"], id);
    }
}

#[tokio::test]
async fn clients_of_each_node_receive_every_change_once() {
    let redis = Redis::start().await;
    let nodes = Nodes::start(&redis, Postgres::start()).await;
    let mut ann = nodes.one.subscribed("ann", &table("*")).await;
    let mut bob = nodes.subscribed_to_two("bob", &table("*")).await;
    for id in 0..20 {
        nodes.one.postgres().sql(&insert([id]));
    }
    for client in [&mut ann, &mut bob] {
        expect_rows(client, 0..20).await;
        client.expect_quiet().await;
    }
    Box::pin(nodes.stop()).await;
}

#[tokio::test]
async fn users_of_each_node_see_their_own_rows_and_new_tables_at_once() {
    let redis = Redis::start().await;
    let nodes = Nodes::start(&redis, Postgres::start()).await;
    let postgres = nodes.one.postgres();
    postgres.sql(OWN_ROWS);
    let mut ann = nodes.one.subscribed("ann", &table("*")).await;
    let mut bob = nodes.subscribed_to_two("bob", &table("*")).await;
    let mut other_ann = nodes.subscribed_to_two("ann", &table("*")).await;
    postgres.sql("INSERT INTO public.todos VALUES (1, 'a', 'ann'), (2, 'b', 'bob'), (3, 'c', 'ann')");
    for client in [&mut ann, &mut other_ann] {
        expect_rows(client, [1, 3]).await;
    }
    expect_rows(&mut bob, [2]).await;
    postgres.sql(
        "CREATE TABLE public.later (id int PRIMARY KEY); GRANT SELECT ON public.later TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.later; INSERT INTO public.later VALUES (7)",
    );
    for client in [&mut ann, &mut bob, &mut other_ann] {
        expect_subscribed(client).await;
        let (_, data) = change(client).await;
        assert_eq!((&data["table"], &data["record"]), (&json!("later"), &json!({"id": 7})));
        client.expect_quiet().await;
    }
    Box::pin(nodes.stop()).await;
}

#[tokio::test]
async fn a_node_that_stops_while_changes_flow_costs_clients_of_others_none() {
    const ROWS: i32 = 300;
    let redis = Redis::start().await;
    let nodes = Nodes::start(&redis, Postgres::start()).await;
    let mut ann = nodes.one.subscribed("ann", &table("*")).await;
    let mut bob = nodes.subscribed_to_two("bob", &table("*")).await;
    let mut session = nodes.one.postgres().session();
    let writing = spawn_blocking(move || (0..ROWS).for_each(|id| session.run(&insert([id]))));
    expect_rows(&mut ann, 0..10).await;
    let Nodes { one: Changes { rooms }, two } = nodes;
    rooms.world.stop().await;
    expect_rows(&mut bob, 0..ROWS).await;
    writing.await.expect("the rows are written");
    rooms.postgres.sql(&insert([ROWS]));
    expect_rows(&mut bob, [ROWS]).await;
    bob.expect_quiet().await;
    two.stop().await;
}

#[tokio::test]
async fn a_bus_that_is_away_costs_no_change() {
    let redis = Redis::start().await;
    let nodes = Nodes::start(&redis, Postgres::start()).await;
    let mut ann = nodes.one.subscribed("ann", &table("*")).await;
    let mut bob = nodes.subscribed_to_two("bob", &table("*")).await;
    let options = RedisOptions { port: Some(redis.address().port()), ..RedisOptions::default() };
    drop(redis);
    for node in [nodes.one.world(), &nodes.two] {
        wait_for_disconnect(node).await;
    }
    nodes.one.postgres().sql(&insert(0..10));
    // Else the one who subscribes next may receive them too.
    expect_rows(&mut bob, 0..10).await;
    let mut cas = nodes.subscribed_to_two("cas", &table("*")).await;
    let _redis = Redis::with(options).await;
    for node in [nodes.one.world(), &nodes.two] {
        wait_for_nodes(node, 2).await;
    }
    nodes.one.postgres().sql(&insert(10..20));
    expect_rows(&mut ann, 0..20).await;
    expect_rows(&mut bob, 10..20).await;
    for client in [&mut ann, &mut bob] {
        client.expect_quiet().await;
    }
    expect_rows(&mut cas, 10..20).await;
    Box::pin(nodes.stop()).await;
}

#[tokio::test]
async fn a_node_for_which_no_slot_is_free_says_so_and_harms_no_other() {
    let redis = Redis::start().await;
    // For broadcasts, and for the changes of one node.
    let nodes = Nodes::start(&redis, Postgres::alone(&["max_replication_slots=2"])).await;
    let mut ann = nodes.one.subscribed("ann", &table("*")).await;
    eventually("all slots are taken", async || nodes.one.postgres().sql(SLOTS) == "2").await;
    let taken =
        nodes.one.postgres().sql("SELECT string_agg(active_pid::text, ', ') FROM pg_replication_slots");
    let mut bob = nodes.client_of_two("bob").await;
    join(&mut bob, &table("*")).await;
    let reason =
        "Changes of the database are not available: the database has no free WAL sender or replication slot";
    assert_eq!(system(&mut bob).await, ("ok".to_owned(), reason.to_owned()));
    nodes.one.postgres().sql(&insert([1]));
    expect_rows(&mut ann, [1]).await;
    ann.expect_quiet().await;
    let Nodes { one: Changes { rooms }, two } = nodes;
    let of_cas = target(&rooms, "cas");
    rooms.world.stop().await;
    // The node tries again by itself.
    let others = format!("{SLOTS} AND active_pid NOT IN ({taken})");
    eventually("the other node reads", async || rooms.postgres.sql(&others) == "2").await;
    let mut cas = two.connect_to(Dialect::V1, &of_cas).await.expect("the handshake succeeds");
    join(&mut cas, &table("*")).await;
    expect_subscribed(&mut cas).await;
    rooms.postgres.sql(&insert([2]));
    expect_rows(&mut cas, [2]).await;
    drop(bob);
    two.stop().await;
}
