//! Changes compared with what PostgreSQL itself says of the same rows: values with `to_jsonb` and `wal2json`, filters with the operators
//! of SQL, visible rows with queries of the same role and claims, rows of before with the catalog. The cases are generated, so that every type meets every operator.
//!
//! What differs on purpose is an expression of the case, with its reason; everything else has to be equal.

mod errors;
mod exact;
mod filters;
mod generated;
mod identities;
mod types;
mod values;
mod visibility;
mod wal2json;

use harness::{Client, Postgres};
use serde_json::{Value, json};
use types::{Case, PRELUDE};

use super::{Changes, next};

/// A server whose database has a published table for each case, `oracle.t0` and so on, with the columns `id` and `v`.
struct Oracle {
    changes: Changes,
    cases: Vec<Case>,
}

impl Oracle {
    async fn start() -> Self {
        let changes = Changes::start().await;
        changes.world().apply(|settings| {
            settings.limits.max_events_per_second = crate::count(1_000_000);
            settings.changes.max_bindings_per_channel = 10_000.try_into().expect("not zero");
        });
        changes.postgres().sql(PRELUDE);
        let cases = types::cases(changes.postgres());
        for (number, case) in cases.iter().enumerate() {
            changes.postgres().sql(&case.table(number));
        }
        Self { changes, cases }
    }

    fn postgres(&self) -> &Postgres {
        self.changes.postgres()
    }
}

/// Joins a channel of a client, and waits until it is subscribed. Returns the ids of the bindings.
async fn subscribe(client: &mut Client, topic: &str, bindings: &[Value]) -> Vec<Value> {
    client.push("1", topic, "phx_join", &json!({ "config": { "postgres_changes": bindings } })).await;
    let reply = next(client).await;
    assert_eq!(reply["payload"]["status"], "ok", "{reply}");
    let notice = next(client).await;
    assert_eq!(notice["payload"]["message"], "Subscribed to PostgreSQL", "{topic}");
    let echo = reply["payload"]["response"]["postgres_changes"].as_array().expect("a list");
    echo.iter().map(|binding| binding["id"].clone()).collect()
}

/// The JSON that a query selects.
fn ask(postgres: &Postgres, query: &str) -> Value {
    serde_json::from_str(&postgres.sql(query)).expect("JSON")
}

/// A literal of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
