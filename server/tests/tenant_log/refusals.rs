//! Why a session cannot be opened, each as an error that a caller can tell from the others.

use std::time::Duration;

use harness::{ChaosProxy, Postgres};
use realtime_server::tenants::database::log::LogError;

use crate::reader::{cluster, database, open, options, options_at, refusal};

#[tokio::test]
async fn nothing_listens() {
    let postgres = Postgres::alone(&[]);
    let options = options(&postgres);
    drop(postgres);
    let error = refusal(&options).await;
    assert!(matches!(error, LogError::Connect(_)), "{error}");
}

#[tokio::test]
async fn what_listens_does_not_answer() {
    let postgres = Postgres::alone(&[]);
    let proxy = ChaosProxy::to(postgres.address()).await;
    proxy.stick();
    let mut options = options_at(&postgres, proxy.address());
    options.connect_timeout = Duration::from_millis(200);
    let error = refusal(&options).await;
    assert!(matches!(error, LogError::ConnectTimeout), "{error}");
}

#[tokio::test]
async fn the_log_is_not_logical() {
    let postgres = cluster(&["wal_level=replica"]);
    let error = refusal(&options(&postgres)).await;
    assert!(matches!(&error, LogError::NotLogical(level) if level == "replica"), "{error}");
}

#[tokio::test]
async fn the_role_may_not_read_the_log() {
    let postgres = database();
    postgres.sql("CREATE ROLE plain LOGIN");
    let mut options = options(&postgres);
    options.user = "plain".into();
    let error = refusal(&options).await;
    assert!(matches!(error, LogError::NotPermitted(_)), "{error}");
    postgres.sql("ALTER ROLE plain REPLICATION");
    open(&options).await;
}

#[tokio::test]
async fn there_is_no_such_database() {
    let postgres = database();
    let mut options = options(&postgres);
    options.database = "nowhere".into();
    let error = refusal(&options).await;
    assert!(matches!(&error, LogError::Server { code, .. } if code == "3D000"), "{error}");
    assert_eq!(error.to_string(), "database \"nowhere\" does not exist (SQLSTATE 3D000)");
}

#[tokio::test]
async fn another_session_has_a_slot_of_this_name() {
    let postgres = database();
    let options = options(&postgres);
    postgres.sql(&format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", options.slot));
    let error = refusal(&options).await;
    assert!(matches!(&error, LogError::SlotInUse(text) if text.contains(&options.slot)), "{error}");
    postgres.sql(&format!("SELECT pg_drop_replication_slot('{}')", options.slot));
}

#[tokio::test]
async fn all_wal_senders_or_slots_are_taken() {
    for setting in ["max_wal_senders=1", "max_replication_slots=1"] {
        let postgres = cluster(&[setting]);
        let _first = open(&options(&postgres)).await;
        let mut second = options(&postgres);
        (second.lock_key, second.slot) = (12, "second".into());
        let error = refusal(&second).await;
        assert!(matches!(error, LogError::NoWalSenders(_)), "{setting}: {error}");
    }
}

#[tokio::test]
async fn a_transaction_that_stays_open_holds_up_the_slot_for_a_limited_time() {
    let postgres = cluster(&[]);
    let mut writer = postgres.session();
    writer.run("BEGIN; INSERT INTO messages VALUES ('one')");
    let mut options = options(&postgres);
    options.slot_timeout = Duration::from_millis(300);
    let error = refusal(&options).await;
    assert!(matches!(error, LogError::SlotTimeout), "{error}");
    writer.run("COMMIT");
    open(&options).await;
}

#[tokio::test]
async fn the_password_is_in_no_text() {
    let postgres = database();
    let mut options = options(&postgres);
    options.port = 1;
    options.password = "top secret".into();
    let error = refusal(&options).await;
    assert!(!format!("{options:?} {error:?} {error}").contains("top secret"));
}
