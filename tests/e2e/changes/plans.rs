//! Plans of the questions that are asked of a database. PostgreSQL compiles a plan (`jit`) when it estimates its cost as high, which
//! it does for its own catalog: that takes a second where the plan takes milliseconds.

use harness::Postgres;
use serde_json::json;

use super::{Changes, OWN_ROWS, record, table};

/// Every plan is logged, and compiled unless that is off.
const SETTINGS: [&str; 6] = [
    "log_line_prefix=%a ",
    "shared_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_analyze=on",
    "auto_explain.log_nested_statements=on",
    "jit_above_cost=0",
];

/// What PostgreSQL logs of a compiled plan.
const COMPILED: &str = "\tJIT:";

#[tokio::test]
async fn no_plan_is_compiled_for_the_server() {
    let postgres = Postgres::alone(&SETTINGS);
    if postgres.sql("SELECT pg_jit_available()") == "f" {
        println!("SKIPPED: plans are not compiled: this PostgreSQL was built without LLVM");
        return;
    }
    let changes = Changes::with(postgres).await;
    changes.postgres().sql(OWN_ROWS);
    let filtered = json!([{"schema": "public", "table": "todos", "filter": "title=like.a%"}]);
    let mut clients =
        [changes.subscribed("ann", &table("*")).await, changes.subscribed("ann", &filtered).await];
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'a', 'ann')");
    for client in &mut clients {
        assert_eq!(record(client).await["id"], 1);
    }
    let log = changes.postgres().log();
    assert!(
        plans(&log, "psql").iter().any(|plan| plan.contains(COMPILED)),
        "this test would notice none: {log}"
    );
    let plans = plans(&log, "realtime");
    assert!(plans.len() > 10, "{log}");
    for plan in plans {
        assert!(!plan.contains(COMPILED), "{plan}");
    }
    changes.rooms.world.stop().await;
}

/// The plans that are logged for programs whose names begin with this. Lines of an entry after its first begin with a tab.
fn plans(log: &str, program: &str) -> Vec<String> {
    let entries = log.replace("\n\t", "\u{b}\t");
    let plans = entries.lines().filter(|entry| entry.starts_with(program) && entry.contains("plan:"));
    plans.map(|entry| entry.replace('\u{b}', "\n")).collect()
}
