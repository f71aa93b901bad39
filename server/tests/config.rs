//! `realtime-server config` as a person at a shell sees it.

use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder with these files, and nothing else to read settings from.
struct Shell(TempDir);

impl Shell {
    fn with(files: &[(&str, &str)]) -> Self {
        let shell = Self(tempfile::tempdir().expect("a folder for the test"));
        for (name, text) in files {
            let path = shell.0.path().join(name);
            std::fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
            std::fs::write(path, text).expect("writable");
        }
        shell
    }

    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        let variables = variables.iter().copied();
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_clear().envs(variables);
        command.output().expect("it runs")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn problems_are_reported_and_set_the_exit_code() {
    let broken = "[telemetry]\nlog_level = \"dbug\"\nlog_formatt = \"json\"\n";
    let shell = Shell::with(&[("config.toml", "server.port = 1"), ("broken.toml", broken)]);
    let output = shell.run("config check", &[("NUM_ACCEPTORS", "7"), ("PORT", "2")]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), "The settings: nothing is wrong\n    read config.toml\n");
    assert_eq!(
        text(&output.stderr),
        "note: NUM_ACCEPTORS has no meaning here: sockets and memory are managed differently\n\
         note: config.toml:1:8: server.port is overridden by variable PORT\n\
         warning: `serve` would refuse to start with these settings: no secret to verify tokens with. Set one, such as by JWT_SECRET\n"
    );
    let output = shell.run("config check", &[("JWT_SECRET", "ours, of thirty-two bytes or more than that")]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));

    let output = shell.run("config check config.toml broken.toml", &[("PORT", "not looked at")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "config.toml: nothing is wrong\n    read config.toml\n");
    assert_eq!(
        text(&output.stderr),
        "note: config.toml holds no secret to verify tokens with; a variable may\n\
         broken.toml:2:1: telemetry.log_level: expected one of error, warn, info, debug, trace, found \"dbug\"\n    \
         help: did you mean debug?\n\
         broken.toml:3:1: telemetry.log_formatt: unknown key\n    \
         help: did you mean telemetry.log_format?\n\
         2 problems\n"
    );
}

#[test]
fn a_metric_that_does_not_exist_is_a_problem() {
    let file = "telemetry.cloudwatch.metrics = [\"realtime_romms\", \"realtime_rooms{code}\"]";
    let output = Shell::with(&[("config.toml", file)]).run("config check", &[("JWT_SECRET", "hush")]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "config.toml:1:22: `telemetry.cloudwatch.metrics`: there is no metric realtime_romms (did you mean \
                    realtime_rooms?); realtime_rooms has no label code (it has none)";
    assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
}

// A secret belongs into a variable or a file of its own, so a file without one is nothing wrong.
#[test]
fn a_file_without_a_secret_is_remarked_and_a_server_without_one_does_not_start() {
    let shell = Shell::with(&[("a.toml", ""), ("b.toml", "tenants.acme.auth.jwks_url = 'https://x/keys'")]);
    let output = shell.run("config check a.toml b.toml", &[]);
    assert!(output.status.success());
    let expected = "a.toml: nothing is wrong\n    read a.toml\nb.toml: nothing is wrong\n    read b.toml\n";
    assert_eq!(text(&output.stdout), expected);
    let note = "note: a.toml holds no secret to verify tokens with; a variable may\n";
    assert_eq!(text(&output.stderr), note);
    let output = shell.run("serve --port 0 --config a.toml", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error: no secret to verify tokens with"), "{output:?}");
}

#[test]
fn advice_is_printed_and_is_not_a_problem() {
    let keys = r#"{"keys":[{"kty":"oct","kid":"one","k":"a2V5"},{"kty":"oct","kid":"two"},{"kty":"RSA"}]}"#;
    let file = format!(
        "[auth]\njwt_secret = 'hunter2'\njwt_jwks = '{keys}'\n[tenants.acme.auth]\njwt_jwks = '{keys}'"
    );
    let shell = Shell::with(&[("config.toml", &file)]);
    let notes = [
        "auth.jwt_secret: shorter than 32 bytes. A secret that short can be found by brute force from one token: use longer ones, such as from `openssl rand -base64 48`",
        "auth.jwt_jwks is used without key 2 (kid \"two\"): `k` is missing",
        "auth.jwt_jwks is used without key 3 (kid \"\"): `kid` is missing",
        "tenants.acme.auth.jwt_jwks is used without key 2 (kid \"two\"): `k` is missing",
        "tenants.acme.auth.jwt_jwks is used without key 3 (kid \"\"): `kid` is missing",
    ];
    for (line, prefix, name) in [
        ("config check", "note: ", "The settings"),
        ("config check config.toml", "note: config.toml: ", "config.toml"),
    ] {
        let output = shell.run(line, &[]);
        assert!(output.status.success());
        assert_eq!(text(&output.stdout), format!("{name}: nothing is wrong\n    read config.toml\n"));
        assert_eq!(text(&output.stderr), notes.map(|note| format!("{prefix}{note}\n")).concat());
    }
}

#[test]
fn what_is_ignored_is_reported_by_a_check_and_at_the_start() {
    let shell = Shell::with(&[("realtime.toml", "[server]\nport = 1")]);
    let notes = [
        "realtime.toml is not read: call it config.toml, or name it with --config",
        "JWT_SECRETS is not read: did you mean JWT_SECRET, or REALTIME__AUTH__JWT_SECRETS?",
        "REALTIME_LIMITS_MAX_JOINS_PER_SECOND is not read: did you mean REALTIME__LIMITS__MAX_JOINS_PER_SECOND?",
        "REDIS_ULR is not read: did you mean REDIS_URL?",
        "variable JWT_SECRET: auth.jwt_secret ends with a line break. It is part of the value, and tokens that \
         do not have it are refused: remove it if it is unintended",
    ];
    let variables = [
        ("JWT_SECRET", "ours, of thirty-two bytes or more than that\n"),
        ("JWT_SECRETS", "another"),
        ("REALTIME_LIMITS_MAX_JOINS_PER_SECOND", "5"),
        ("REDIS_ULR", "redis://redis"),
        // Of other programs.
        ("REALTIME_SERVER_PORT", "tcp://10.0.0.1:8080"),
        ("REDIS_PASSWORD", "hush"),
        ("PORTAL", "a"),
        ("JWT_TOKEN", "a.b.c"),
    ];
    let output = shell.run("config check", &variables);
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), notes.map(|note| format!("note: {note}\n")).concat());
    // An address that cannot be bound, so that it ends by itself.
    let output = shell.run("serve --host 192.0.2.1 --port 1", &variables);
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stderr);
    for note in notes {
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(note)), "no {note}:\n{log}");
    }
    assert_eq!(log.matches("is not read").count(), 4, "{log}");
}

#[test]
fn an_environment_without_its_file_does_not_start() {
    let shell = Shell::with(&[("config.toml", ""), ("config.production.toml", "")]);
    for line in ["config check", "serve --dev"] {
        let output = shell.run(line, &[("REALTIME_ENV", "prod")]);
        assert_eq!(output.status.code(), Some(1));
        let expected = "variable REALTIME_ENV: chooses config.prod.toml, and there is no such file\n    \
                    help: did you mean REALTIME_ENV=production?\n";
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
    assert!(shell.run("config check", &[("REALTIME_ENV", "production")]).status.success());
}

#[test]
fn serving_with_broken_settings_reports_the_same() {
    let shell = Shell::with(&[("config.toml", "server.prot = 1")]);
    let expected = "config.toml:1:8: server.prot: unknown key\n    help: did you mean server.port?";
    for line in ["serve --dev", "token", "health", "config show"] {
        let output = shell.run(line, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr), format!("error: {expected}\n"), "{line}");
    }
}

#[test]
fn what_counts_is_shown_with_who_says_so() {
    let files = [("config.toml", "[server]\nport = 1\n"), ("config.d/a.toml", "server.strict_host = true")];
    let shell = Shell::with(&files);
    let line = "config show --origin --set limits.max_channels_per_client=3";
    let output = shell.run(line, &[("JWT_SECRET", "hunter2")]);
    let shown = text(&output.stdout);
    for line in [
        "auth.jwt_secret = \"********\"  # variable JWT_SECRET",
        "limits.max_channels_per_client = 3  # --set limits.max_channels_per_client",
        "server.host = \"0.0.0.0\"  # default",
        "server.port = 1  # config.toml:2:1",
        "server.strict_host = true  # config.d/a.toml:1:8",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "no {line}:\n{shown}");
    }
    assert!(!shown.contains("hunter2"));
    let without = text(&shell.run("config show", &[]).stdout);
    assert!(without.lines().any(|line| line == "server.port = 1"), "{without}");
}

#[test]
fn what_is_generated_is_printed() {
    let shell = Shell::with(&[]);
    assert_eq!(text(&shell.run("config schema", &[]).stdout), settings::schema());
    assert_eq!(text(&shell.run("config reference", &[]).stdout), settings::reference());
}

#[test]
fn memory_that_is_not_there_is_remarked() {
    let file = "[server]\nmemory_budget = \"900 TiB\"\n";
    let larger = "[server]\nmemory_budget = \"64 MiB\"\nmax_frame_size = \"65 MiB\"\n[outbox]\nmax_bytes = \"1 GiB\"\n\
                  [bus]\nmax_bytes = \"65 MiB\"\n[telemetry]\nlog_queue_bytes = \"65 MiB\"\n[broadcast]\nmax_body_size = \"65 MiB\"\n";
    let queues = "[server]\nmemory_budget = \"64 MiB\"\n[telemetry]\nlog_queue_bytes = \"40 MiB\"\n";
    let shell = Shell::with(&[("budget.toml", file), ("larger.toml", larger), ("queues.toml", queues)]);
    let notes = |name: &str| {
        let output = shell.run(&format!("config check {name}"), &[]);
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr)
    };
    let found = notes("budget.toml");
    assert!(
        found.contains("note: budget.toml: `server.memory_budget` (900.0 TiB) is more than the "),
        "{found}"
    );
    let found = notes("larger.toml");
    for key in [
        "server.max_frame_size",
        "outbox.max_bytes",
        "bus.max_bytes",
        "telemetry.log_queue_bytes",
        "broadcast.max_body_size",
    ] {
        let line = format!("`{key}` (");
        let text = "is more than all memory of this process, 64.0 MiB (server.memory_budget)";
        assert!(found.lines().any(|found| found.contains(&line) && found.contains(text)), "{key}: {found}");
    }
    assert_eq!(found.matches("is more than").count(), 5, "{found}");
    let text = "may take 40.0 MiB, more than half of all memory of this process, 64.0 MiB";
    let found = notes("queues.toml");
    assert!(found.contains(text), "{found}");
}
