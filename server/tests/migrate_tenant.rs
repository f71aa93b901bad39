//! `realtime-server migrate --tenant`: prepares the database of a tenant, without a server.

use std::path::Path;
use std::process::{Command, Output};

use harness::Postgres;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

/// Runs `migrate` with these arguments and variables.
fn migrate(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    command.arg("migrate").args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// A folder whose configuration has the tenant acme, with the database at `url`.
fn acme_at(url: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), format!("[tenants.acme.database]\nurl = '{url}'\n"))
        .unwrap();
    folder
}

const PARTITIONS: &str =
    "SELECT relname, relowner::regrole, relrowsecurity, relacl IS NULL, pg_get_expr(relpartbound, oid) FROM pg_class
     WHERE relispartition AND relkind = 'r' AND relnamespace = 'realtime'::regnamespace ORDER BY 1";

#[test]
fn the_database_of_a_tenant_is_prepared_and_a_second_run_changes_nothing() {
    let postgres = Postgres::start();
    let folder = acme_at(&postgres.url());
    let run = |arguments: &[&str]| migrate(folder.path(), arguments, &[]);
    let (to_apply, applied) = (
        "acme: 81 versions to apply, 0 were applied before\nacme: 5 partitions to make\n",
        "acme: 81 versions applied, 0 were applied before\nacme: 5 partitions made\n",
    );
    assert_eq!(run(&["--tenant", "acme", "--dry-run"]), (true, to_apply.into()));
    assert_eq!(postgres.sql("SELECT to_regnamespace('realtime') IS NULL"), "t");
    assert_eq!(run(&["--tenant", "acme"]), (true, applied.into()));
    let again = "acme: 0 versions applied, 81 were applied before\nacme: 0 partitions made\n";
    assert_eq!(run(&["--tenant", "ACME"]), (true, again.replace("acme", "ACME")), "names have no case");
    assert_eq!(postgres.sql("SELECT to_regprocedure('auth.uid()') IS NULL"), "t");
    let with_helpers = format!("{again}acme: the functions of the schema auth are there\n");
    assert_eq!(run(&["--tenant", "acme", "--auth-helpers"]), (true, with_helpers));
    assert_eq!(postgres.sql("SELECT to_regprocedure('auth.uid()') IS NULL"), "f");

    postgres.sql("DROP PUBLICATION supabase_realtime; DROP TABLE realtime.messages CASCADE");
    let (succeeds, text) = run(&["--tenant", "acme", "--status"]);
    assert!(succeeds, "{text}");
    for lacks in ["acme: lacks objects: realtime.messages\n", "acme: lacks publications: supabase_realtime"] {
        assert!(text.contains(lacks), "{text}");
    }
}

#[test]
fn what_is_printed_does_the_same_by_hand() {
    let (by_hand, by_program) = (Postgres::start(), Postgres::start());
    let folder = acme_at(&by_hand.url());
    let (printed, script) = migrate(folder.path(), &["--tenant", "acme", "--print", "--auth-helpers"], &[]);
    assert!(printed, "{script}");
    by_hand.sql(&script);
    let other = acme_at(&by_program.url());
    assert!(migrate(other.path(), &["--tenant", "acme", "--auth-helpers"], &[]).0);
    for schema in ["realtime", "auth"] {
        assert_eq!(by_hand.definitions(schema), by_program.definitions(schema));
    }
    assert_eq!(by_hand.sql(PARTITIONS), by_program.sql(PARTITIONS));
    assert_eq!(migrate(folder.path(), &["--tenant", "acme", "--print"], &[]), (true, String::new()));
}

#[test]
fn the_tenant_may_be_the_default_one_or_one_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (store, of_acme) = (Postgres::start(), Postgres::start());
    let (url, key) = (store.url(), "a key for AES-GCM of 32 bytes !!");
    let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", key)];
    let run = |arguments: &[&str]| migrate(folder.path(), arguments, &variables);
    assert!(run(&[]).0);
    let (found, text) = run(&["--tenant", "acme"]);
    assert!(!found && text.contains("the tenant `acme`: there is no such tenant"), "{text}");
    assert!(run(&["--tenant", "default"]).0);
    assert_eq!(store.sql("SELECT count(*) FROM realtime.schema_migrations"), "81");

    let address = of_acme.address();
    let database = of_acme.sql("SELECT current_database()");
    let port = address.port().to_string();
    let settings = [
        ("db_host", "127.0.0.1"),
        ("db_port", &port),
        ("db_name", &database),
        ("db_user", "postgres"),
        ("db_password", "none"),
    ]
    .map(|(name, value)| format!("\"{name}\": \"{}\"", encrypted(key, value)));
    store.sql(&format!(
        "INSERT INTO _realtime.tenants (id, external_id, name, jwt_secret, inserted_at, updated_at)
             VALUES (gen_random_uuid(), 'acme', 'acme', '{}', now(), now());
         INSERT INTO _realtime.extensions (id, type, settings, tenant_external_id, inserted_at, updated_at)
             VALUES (gen_random_uuid(), 'postgres_cdc_rls', '{{\"ssl_enforced\": false, {}}}', 'acme', now(), now())",
        encrypted(key, "a secret"),
        settings.join(", ")
    ));
    let (done, text) = run(&["--tenant", "acme", "--tenant", "default"]);
    let both = "acme: 81 versions applied, 0 were applied before\nacme: 5 partitions made\n\
                default: 0 versions applied, 81 were applied before\ndefault: 0 partitions made\n";
    assert_eq!((done, &*text), (true, both));
    assert_eq!(of_acme.sql("SELECT count(*) FROM realtime.schema_migrations"), "81");
    let other_key = [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", "another key, 32 bytes, AES-GCM !")];
    let (read, text) = migrate(folder.path(), &["--tenant", "acme"], &other_key);
    assert!(!read && text.contains("cannot be decrypted"), "{text}");
}

/// As the server encrypts what it stores.
fn encrypted(key: &str, text: &str) -> String {
    use realtime_server::store::{EncryptionKeys, WrittenForm};
    let keys = EncryptionKeys::new(Some(&key.into()), None, WrittenForm::Current).unwrap();
    keys.encrypt(&text.into()).unwrap()
}

#[test]
fn what_cannot_be_prepared_is_an_error_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (found, text) = migrate(folder.path(), &["--tenant", "default"], &[]);
    assert!(!found && text.contains("the tenant `default`: it has no database"), "{text}");
    let (found, text) = migrate(folder.path(), &["--tenant", "acme"], &[]);
    assert!(!found && text.contains("there is no such tenant"), "{text}");
    assert!(!folder.path().join("data").exists(), "no store is made for that");
    let folder = acme_at("postgres://user:word@127.0.0.1:1/database");
    let (reached, text) = migrate(folder.path(), &["--tenant", "acme", "--wait", "1ms"], &[]);
    assert!(!reached && text.contains("127.0.0.1:1: ") && !text.contains("user:word"), "{text}");
    let (parsed, text) = migrate(folder.path(), &["--auth-helpers"], &[]);
    assert!(!parsed && text.contains("--tenant"), "{text}");

    let postgres = Postgres::start();
    let role = format!("unprivileged_{}", std::process::id());
    postgres.sql(&format!("CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    let folder = acme_at(&postgres.url().replace("postgres@", &format!("{role}@")));
    let (done, text) = migrate(folder.path(), &["--tenant", "acme"], &[]);
    let grant = format!("GRANT CREATE ON DATABASE {} TO {role}", postgres.sql("SELECT current_database()"));
    assert!(!done && text.contains(&grant), "{text}");
}

#[test]
fn what_the_owner_of_the_cluster_has_to_do_is_named() {
    let postgres = Postgres::alone(&["wal_level=replica"]);
    postgres.sql(
        "CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE second LOGIN;
         GRANT CREATE ON DATABASE postgres TO second",
    );
    let folder = acme_at(&postgres.url().replace("postgres@", "second@"));
    for arguments in
        [&["--tenant", "acme", "--status"][..], &["--tenant", "acme"], &["--tenant", "acme", "--status"]]
    {
        let (done, text) = migrate(folder.path(), arguments, &[]);
        for named in [
            "`GRANT anon, authenticated TO second`",
            "`ALTER ROLE second REPLICATION`",
            "wal_level is replica",
        ] {
            assert!(done && text.contains(named), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn what_does_not_change_by_itself_is_not_waited_for() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let database = postgres.sql("SELECT current_database()");
    for (url, rest, reason) in [
        (url.replace(&database, "absent"), "", "(3D000)"),
        (url.replace("postgres@", "absent@"), "", "(28000)"),
        (
            url,
            "tls_mode = 'require'",
            "`tls_mode = \"off\"` in `[tenants.<id>.database]`, or `ssl_enforced` false",
        ),
    ] {
        let folder = acme_at(&url);
        let config = format!("[tenants.acme.database]\nurl = '{url}'\n{rest}\n");
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let started = std::time::Instant::now();
        let (reached, text) = migrate(folder.path(), &["--tenant", "acme", "--wait", "1h"], &[]);
        assert!(!reached && text.contains(reason), "{text}");
        assert!(started.elapsed() < std::time::Duration::from_secs(600), "{text}");
    }
}
