//! `realtime-server migrate`, and the command lines that are documented elsewhere.

use std::path::Path;
use std::process::{Command, Output};

use harness::Postgres;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

/// Runs the program in `folder` with these arguments and this database, if any.
fn run(folder: &Path, arguments: &[&str], url: Option<&str>) -> (bool, String) {
    run_as(Path::new(PROGRAM), folder, arguments, url)
}

/// As [`run`], by the link to the program at `program`.
fn run_as(program: &Path, folder: &Path, arguments: &[&str], url: Option<&str>) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear();
    command.envs(url.map(|url| ("DATABASE_URL", url)));
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn a_database_is_migrated_by_each_of_the_command_lines() {
    let folder = tempfile::tempdir().unwrap();
    // As the image has it.
    let pnpm = folder.path().join("pnpm");
    std::os::unix::fs::symlink(PROGRAM, &pnpm).unwrap();
    let program = Path::new(PROGRAM);
    for (program, arguments) in
        [(program, &["migrate"][..]), (program, &["pnpm", "db:migrate"]), (&*pnpm, &["db:migrate"])]
    {
        let postgres = Postgres::start();
        let url = postgres.url();
        let dry = run(folder.path(), &["migrate", "--dry-run"], Some(&url));
        assert_eq!((dry.0, last_line(&dry.1)), (true, "35 to apply, 0 were applied before"), "{}", dry.1);
        let done = run_as(program, folder.path(), arguments, Some(&url));
        assert_eq!((done.0, last_line(&done.1)), (true, "35 applied, 0 were applied before"), "{}", done.1);
        let again = run_as(program, folder.path(), arguments, Some(&url));
        assert_eq!((again.0, again.1.as_str()), (true, "0 applied, 35 were applied before\n"));
    }
}

#[test]
fn what_is_printed_does_the_same_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (by_hand, by_program) = (Postgres::start(), Postgres::start());
    let (printed, script) = run(folder.path(), &["migrate", "--print"], Some(&by_hand.url()));
    assert!(printed, "{script}");
    by_hand.sql(&script);
    assert!(run(folder.path(), &["migrate"], Some(&by_program.url())).0);
    let columns = "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
                   FROM information_schema.columns WHERE table_schema = '_realtime' ORDER BY 1, ordinal_position";
    assert_eq!(by_hand.sql(columns), by_program.sql(columns));
    let versions = "SELECT version FROM _realtime.schema_migrations ORDER BY 1";
    assert_eq!(by_hand.sql(versions), by_program.sql(versions));
    assert_eq!(run(folder.path(), &["migrate", "--print"], Some(&by_hand.url())), (true, String::new()));
}

#[test]
fn the_embedded_file_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let (done, text) = run(folder.path(), &["migrate"], None);
    assert_eq!((done, last_line(&text)), (true, "3 applied, 0 were applied before"), "{text}");
    assert_eq!(run(folder.path(), &["migrate"], None), (true, "0 applied, 3 were applied before\n".into()));
}

#[test]
fn a_newer_schema_is_left_alone_and_a_missing_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start();
    let url = postgres.url();
    assert!(run(folder.path(), &["migrate"], Some(&url)).0);
    postgres.sql("INSERT INTO _realtime.schema_migrations VALUES (20990101000000, now())");
    for (arguments, succeeds) in
        [(&["migrate"][..], true), (&["migrate", "--status"], true), (&["migrate", "--print"], false)]
    {
        let (done, text) = run(folder.path(), arguments, Some(&url));
        assert!(done == succeeds && text.contains("newer") && text.contains("20990101000000"), "{text}");
    }
    let away = Some("postgres://user:word@127.0.0.1:1/database");
    let limits = ["migrate", "--wait", "1ms", "--set", "store.acquire_timeout=200ms"];
    let (done, text) = run(folder.path(), &limits, away);
    assert!(!done && !text.contains("user:word"), "{text}");
}
