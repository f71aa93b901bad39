//! Migrations that are refused, interrupted, or have to wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};

use harness::{ChaosProxy, Postgres, ServerProcess, eventually};
use rustix::process::Signal;

/// `realtime-server migrate` with this database.
fn command(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.arg("migrate").env_clear().env("DATABASE_URL", url);
    command
}

/// Whether it succeeds, and all that it prints.
fn run(url: &str) -> (bool, String) {
    let Output { status, stdout, stderr } = command(url).output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn as_role(postgres: &Postgres, role: &str) -> String {
    postgres.url().replace("postgres@", &format!("{role}@"))
}

/// A role that may do nothing, of a name that no other database of the cluster uses.
fn new_role(postgres: &Postgres) -> String {
    let role = format!("limited_{}", uuid::Uuid::new_v4().simple());
    postgres.sql(&format!("CREATE ROLE {role} LOGIN"));
    role
}

#[test]
fn a_permission_that_is_missing_is_named() {
    let postgres = Postgres::start();
    let role = new_role(&postgres);
    let url = as_role(&postgres, &role);
    let database = postgres.sql("SELECT current_database()");
    let refused = |grant: &str| {
        let (done, text) = run(&url);
        assert!(!done && text.contains(&format!("`{grant}`")), "{text}");
        postgres.sql(grant);
    };
    refused(&format!("GRANT CREATE ON DATABASE {database} TO {role}"));
    refused(&format!("GRANT USAGE, CREATE ON SCHEMA public TO {role}"));
    let (done, text) = run(&url);
    assert!(done && text.ends_with("2 applied, 33 were applied before\n"), "{text}");
    // Nothing is missing, so nothing is needed.
    postgres.sql(&format!(
        "REVOKE CREATE ON DATABASE {database} FROM {role}; REVOKE CREATE ON SCHEMA public FROM {role}"
    ));
    let (done, text) = run(&url);
    assert!(done && text == "0 applied, 35 were applied before\n", "{text}");
}

#[test]
fn the_owner_of_the_schema_is_named_to_a_role_that_may_not_change_it() {
    let postgres = Postgres::start();
    let role = new_role(&postgres);
    postgres.sql(&format!("CREATE SCHEMA _realtime; GRANT USAGE ON SCHEMA _realtime TO {role}"));
    let (done, text) = run(&as_role(&postgres, &role));
    assert!(!done && text.contains(&format!("`GRANT postgres TO {role}`")), "{text}");
}

#[tokio::test]
async fn one_that_is_killed_half_way_is_completed_by_the_next() {
    let (postgres, other) = (Postgres::start(), Postgres::start());
    assert!(run(&other.url()).0);
    let printed = command(&postgres.url()).arg("--print").output().unwrap();
    let script = String::from_utf8(printed.stdout).unwrap();
    // Ends between two steps.
    let steps: Vec<_> = script.split_inclusive("COMMIT;\n").collect();
    postgres.sql(&steps[..4].concat());

    let mut blocker = postgres.session();
    blocker.run("BEGIN; LOCK TABLE _realtime.tenants");
    let mut killed = ServerProcess::start({
        let mut command = command(&postgres.url());
        command.stdout(Stdio::null());
        command
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'";
    eventually("it is within a step", async || postgres.sql(waiting) == "1").await;
    killed.signal(Signal::KILL);
    killed.exit();
    drop(blocker);
    let (done, text) = run(&postgres.url());
    assert!(done && text.ends_with("were applied before\n"), "{text}");
    for schema in ["_realtime", "public"] {
        assert_eq!(postgres.definitions(schema), other.definitions(schema));
    }
    let versions = "SELECT version FROM _realtime.schema_migrations ORDER BY 1";
    assert_eq!(postgres.sql(versions), other.sql(versions));
}

#[tokio::test]
async fn it_waits_for_others_and_says_so() {
    let postgres = Postgres::start();
    let mut other = postgres.session();
    other.run("SELECT pg_advisory_lock(8243101811408989541)");
    let mut process = ServerProcess::start({
        let mut command = command(&postgres.url());
        command.stdout(Stdio::null());
        command
    });
    process.log_line("Waiting for another process that migrates the store");
    assert_eq!(postgres.sql("SELECT to_regnamespace('_realtime') IS NULL"), "t");
    drop(other);
    let (status, log) = process.exit();
    assert!(status.success(), "{log}");
    assert_eq!(postgres.sql("SELECT count(*) FROM _realtime.schema_migrations"), "33");
}

// The proxy works while the test waits for the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_waited_for() {
    let postgres = Postgres::start();
    let proxy = ChaosProxy::to(postgres.address()).await;
    proxy.cut();
    let mut process = ServerProcess::start({
        let mut command = command(&postgres.url_at(proxy.address()));
        command.args(["--set", "store.acquire_timeout=300ms"]).stdout(Stdio::null());
        command
    });
    process.log_line("Waiting for the database");
    proxy.mend();
    let (status, log) = process.exit();
    assert!(status.success(), "{log}");
    assert_eq!(postgres.sql("SELECT count(*) FROM _realtime.schema_migrations"), "33");

    let away = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut command = command(&postgres.url_at(away));
    let given_up = command.args(["--wait", "1s"]).output().unwrap();
    let text = String::from_utf8_lossy(&given_up.stderr);
    assert!(!given_up.status.success() && text.contains("the store cannot be reached"), "{text}");
}
