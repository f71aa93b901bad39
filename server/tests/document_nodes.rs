//! A document on two programs with one PostgreSQL and one Redis, of which one program is killed.

#[expect(dead_code, reason = "the tests of documents on one program use the rest")]
#[path = "../../tests/e2e/documents/editor.rs"]
mod editor;

use std::process::{Command, Stdio};

use harness::{Postgres, Redis, ServerProcess, TokenIssuer, World, eventually};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use editor::Editor;

const SECRET: &str = "the secret of two programs, of thirty-two bytes";

struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
}

impl Program {
    /// Looks at the store only when it has a reason to.
    fn start(postgres: &Postgres, redis: &Redis) -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("JWT_SECRET", SECRET).env("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!");
        command.env("DATABASE_URL", postgres.url()).env("REDIS_URL", redis.url());
        command.env("REALTIME__BUS__LEASE", "1s").env("REALTIME__DOCUMENTS__REFRESH", "1h");
        command.stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        Program { process, world, _folder: folder }
    }

    async fn wait_for_nodes(&self, nodes: usize) {
        eventually("the node is connected to the others", async || {
            self.world.number("realtime_bus_connected").await == 1.0
                && self.world.number("realtime_bus_nodes").await == nodes as f64
        })
        .await;
    }
}

// An editor of the killed one may have shown more than was stored, and sends it again.
#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_with_a_node_and_its_clients_go_on_at_another() {
    let (postgres, redis) = (Postgres::start(), Redis::start().await);
    let (one, two) = (Program::start(&postgres, &redis), Program::start(&postgres, &redis));
    one.wait_for_nodes(2).await;
    two.wait_for_nodes(2).await;
    eventually("the tables are there", async || {
        postgres.try_sql("SELECT FROM document_updates")
            || postgres.try_sql("SELECT FROM realtime.document_updates")
    })
    .await;
    let (mut ann, mut bob) = (Editor::open(&one.world, "room").await, Editor::open(&two.world, "room").await);
    ann.show(1, 1, r#"{"name":"ann"}"#).await;
    while bob.next_state().await != (1, Some(json!({"name": "ann"}))) {}
    const ACKNOWLEDGED: usize = 20;
    for n in 0..ACKNOWLEDGED {
        ann.insert("a").await;
        if n % 2 == 0 {
            bob.insert("b").await;
        }
    }
    ann.confirmed().await;
    for _ in 0..50 {
        ann.insert("c").await;
    }
    one.process.signal(Signal::KILL);
    bob.until_length(ACKNOWLEDGED * 3 / 2).await;
    assert_eq!(bob.text().matches('a').count(), ACKNOWLEDGED);
    while bob.next_state().await != (1, None) {}
    let mut ann = Editor::open_with(&two.world, "room", ann.into_doc(), &json!({})).await;
    let all = ACKNOWLEDGED * 3 / 2 + 50;
    bob.until_length(all).await;
    ann.until_length(all).await;
    assert_eq!(ann.text(), bob.text());
    ann.confirmed().await;
    ann.show(1, 1, r#"{"name":"ann"}"#).await;
    while bob.next_state().await != (1, Some(json!({"name": "ann"}))) {}
    assert_eq!(Editor::open(&two.world, "room").await.text(), ann.text());
}
