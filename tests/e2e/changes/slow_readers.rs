//! Clients that read slowly, or not at all, beside one that reads.

use std::time::{Duration, Instant};

use harness::Client;
use serde_json::json;
use settings::ByteSize;

use super::{Changes, record};

/// Rows of 10 kB: more than the queue and the kernel hold for a client that does not read.
const ROWS: i64 = 1_000;

/// Clients that do not read.
const DEAF: u32 = 15;
/// The longest that changes wait for clients that are slow.
const PAUSE: Duration = Duration::from_secs(1);

/// The time until a client has received rows that are written in one transaction.
async fn burst(changes: &Changes, reader: &mut Client, first: i64) -> Duration {
    let last = first + ROWS - 1;
    changes.postgres().sql(&format!(
        "INSERT INTO public.todos (id, title) SELECT n, repeat('x', 10000) FROM generate_series({first}, {last}) AS n"
    ));
    let written = Instant::now();
    for id in first..=last {
        assert_eq!(record(reader).await["id"], id);
    }
    written.elapsed()
}

#[tokio::test]
async fn clients_that_never_read_delay_others_once_however_many_they_are() {
    let changes = Changes::start().await;
    let todos = json!([{"event": "INSERT", "schema": "public", "table": "todos"}]);
    let mut reader = changes.subscribed("ann", &todos).await;
    // For those that connect later.
    changes.world().apply(|settings| settings.outbox.max_bytes = ByteSize::mib(4));
    let alone = burst(&changes, &mut reader, 1).await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(changes.subscribed("bob", &todos).await);
    }
    let beside = burst(&changes, &mut reader, 1 + ROWS).await;
    // A second for all of them together; one after the other they would delay it by `DEAF` seconds.
    assert!(beside < 2 * alone + PAUSE * DEAF / 2, "{beside:?}, and {alone:?} alone");
    let missed = r#"realtime_changes_missed_total{tenant="default"}"#;
    assert!(changes.world().number(missed).await > 0.0, "what they do not read is dropped");
    drop(deaf);
    changes.rooms.world.stop().await;
}
