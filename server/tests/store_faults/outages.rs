//! PostgreSQL ends while tenants are written.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use harness::{Postgres, eventually};
use rustix::process::Signal;
use serde_json::json;

use crate::node::{Node, SECRET};

const WRITERS: usize = 6;

/// How many calls are answered with 2xx before it ends.
const ANSWERED_BEFORE: usize = 60;

/// What a writer has been answered.
struct Answers {
    done: Vec<String>,
    failed: String,
}

/// Creates tenants until one is not created.
async fn create_until_failure(node: &Node, name: &str, answered: &AtomicUsize) -> Answers {
    let mut done = Vec::new();
    loop {
        let id = format!("{name}-{}", done.len());
        match node.put(&id, json!({ "jwt_secret": SECRET })).await.status {
            201 => done.push(id),
            500.. => return Answers { done, failed: id },
            other => panic!("{id}: {other}"),
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn what_was_answered_survives(postgres: &Postgres, node: &Node, signal: Signal, round: &str) {
    let answered = AtomicUsize::new(0);
    let names = (0..WRITERS).map(|writer| format!("{round}-{writer}")).collect::<Vec<_>>();
    let writers = join_all(names.iter().map(|name| create_until_failure(node, name, &answered)));
    let end = async {
        eventually("many are created", async || answered.load(Ordering::Relaxed) >= ANSWERED_BEFORE).await;
        postgres.end(signal);
    };
    let (answers, ()) = tokio::join!(writers, end);
    node.until_unusable().await;
    assert_eq!(node.handshake("acme").await, 101, "a known tenant is served from memory");

    postgres.start_again();
    let stored = postgres.sql("SELECT external_id FROM _realtime.tenants");
    let stored: Vec<_> = stored.lines().collect();
    for Answers { done, failed } in answers {
        let lost: Vec<_> = done.iter().filter(|id| !stored.contains(&id.as_str())).collect();
        assert!(lost.is_empty(), "{lost:?}");
        eventually("the repeat succeeds", async || {
            let status = node.put(&failed, json!({ "jwt_secret": SECRET })).await.status;
            assert!(matches!(status, 200 | 201 | 500..), "{failed}: {status}");
            status < 300
        })
        .await;
    }
    node.until_usable().await;
}

#[tokio::test]
async fn a_database_that_is_killed_or_stopped_loses_nothing_that_was_answered() {
    let postgres = Postgres::alone(&[]);
    // Shorter than what a test waits for.
    let acquire_timeout = ("REALTIME__STORE__ACQUIRE_TIMEOUT", "1s");
    let node = Node::with(&[("DATABASE_URL", &postgres.url()), acquire_timeout]);
    node.create("acme").await;
    assert_eq!(node.handshake("acme").await, 101);
    let before = node.outages();
    what_was_answered_survives(&postgres, &node, Signal::KILL, "killed").await;
    assert_eq!(node.outages(), before + 1, "{}", node.server.process.log());
    what_was_answered_survives(&postgres, &node, Signal::INT, "stopped").await;
    assert_eq!(node.outages(), before + 2, "{}", node.server.process.log());
}
