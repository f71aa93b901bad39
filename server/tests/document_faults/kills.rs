//! Server and writers are killed while they type, again and again.

use std::time::Duration;

use harness::{Postgres, World, eventually};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use yrs::Doc;

use crate::program::{Site, Store};
use crate::writer::{Random, Writer, are_equal, number};

/// How often in the tests of each build.
const ROUNDS: u64 = 5;

const WRITERS: u64 = 4;

/// What is left of a writer.
struct Left {
    name: String,
    /// Its document, unless it was killed.
    doc: Option<Doc>,
    acknowledged: i64,
}

fn rounds() -> u64 {
    std::env::var("DOCUMENT_KILLS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"))
}

/// Lets writers type, and kills the server, and at another time one of the writers. Returns what is left of them.
async fn type_and_kill(site: &Site, left: Vec<Left>, round: u64) -> Vec<Left> {
    let mut random = Random::new(round + 1);
    let program = site.start().await;
    let mut typing = Vec::new();
    for (number, left) in left.into_iter().enumerate() {
        let doc = left.doc.unwrap_or_default();
        let writer = Writer::open(&program.world, &left.name, doc, round * WRITERS + number as u64).await;
        typing.push((left.name, left.acknowledged, tokio::spawn(writer.type_on())));
    }
    let killed = random.below(WRITERS as u32) as usize;
    // Not a wait for something: the time of the kill is what varies.
    sleep(Duration::from_millis(random.below(150).into())).await;
    typing[killed].2.abort();
    sleep(Duration::from_millis(random.below(150).into())).await;
    program.kill();
    let mut all = Vec::new();
    for (name, acknowledged, task) in typing {
        all.push(left_of(name, acknowledged, task).await);
    }
    all
}

async fn left_of(name: String, acknowledged: i64, task: JoinHandle<Writer>) -> Left {
    match task.await {
        Ok(writer) => Left {
            name,
            acknowledged: writer.acknowledged.max(acknowledged),
            doc: Some(writer.editor.into_doc()),
        },
        Err(ended) => {
            assert!(ended.is_cancelled(), "{ended}");
            Left { name, acknowledged, doc: None }
        }
    }
}

/// Everything that was acknowledged is there, and all who are left converge.
async fn check(world: &World, left: &[Left], round: u64) {
    let fresh = Writer::open(world, "fresh", Doc::new(), 1).await;
    for Left { name, acknowledged, .. } in left {
        let stored = number(fresh.editor.doc(), name);
        assert!(stored >= *acknowledged, "round {round}: {name} has {stored} of {acknowledged}");
    }
    let mut editors = vec![fresh.editor];
    for doc in left.iter().filter_map(|left| left.doc.clone()) {
        editors.push(Writer::open(world, "again", doc, 1).await.editor);
    }
    for editor in &mut editors {
        editor.confirmed().await;
    }
    eventually("all have the same", async || {
        for editor in &mut editors {
            editor.confirmed().await;
        }
        editors.windows(2).all(|two| are_equal(two[0].doc(), two[1].doc()))
    })
    .await;
}

async fn kill_again_and_again(site: &Site) {
    let begin = |n| Left { name: format!("w{n}-"), acknowledged: 0, doc: None };
    let mut left: Vec<Left> = (0..WRITERS).map(begin).collect();
    for round in 0..rounds() {
        left = type_and_kill(site, left, round).await;
        let program = site.start().await;
        check(&program.world, &left, round).await;
        program.kill();
    }
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_by_kills_with_the_embedded_store() {
    kill_again_and_again(&Site::new(Store::Embedded)).await;
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_by_kills_with_postgres() {
    let site = Site::new(Store::Postgres(Postgres::start()));
    kill_again_and_again(&site).await;
}
