//! The effect of a reload on a running server's settings.

use std::os::unix::fs::symlink;
use std::{fs, io};

use secrecy::ExposeSecret as _;
use settings::{RefusedReload, RunningSettings, Settings, Sources, Update};

use crate::Folder;

/// A running server with `config.toml` in a folder, and variables.
pub struct TestServer {
    pub folder: Folder,
    pub sources: Sources,
    pub on: RunningSettings,
}

impl TestServer {
    fn on(file: &str) -> Self {
        Self::with(&[("config.toml", file)], &[])
    }

    /// With a file that is found by its default path.
    pub fn with(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let folder = Folder::with(files);
        let sources = Sources::new(None, folder.variables(variables));
        let sources = sources.usually_in(["config.toml", "etc/config.toml"].map(|name| folder.path(name)));
        let on = sources.load().expect("it starts").running();
        Self { folder, sources, on }
    }

    /// Edits `config.toml` and reloads.
    fn after(&mut self, file: &str) -> Update {
        self.folder.write("config.toml", file);
        let update = self.reload().unwrap_or_else(|refused| panic!("is refused: {}", refused.error));
        self.on = update.running.clone();
        update
    }

    /// The text of the error with which a reload is refused.
    pub fn errors(&self) -> String {
        let refused = self.reload().expect_err("is refused");
        self.folder.without_folder(&refused.error.to_string())
    }

    /// Reads everything again.
    pub fn reload(&self) -> Result<Update, RefusedReload> {
        self.sources.reload(&self.on, |_| Ok(()))
    }
}

fn update(before: &str, after: &str) -> Update {
    TestServer::on(before).after(after)
}

/// The effective secret of a tenant.
fn secret(settings: &Settings, tenant: &str) -> Option<String> {
    let secret = settings.every_tenant().get(tenant)?.auth.jwt_secret.clone();
    secret.map(|secret| secret.expose_secret().to_owned())
}

#[test]
fn another_notation_of_the_same_value_is_no_change() {
    let before = "[server]\nidle_timeout = '2m'\n[outbox]\nmax_bytes = 65536\n[bus]\ntimeout = '5s'";
    let after = "[server]\nidle_timeout = '120s'\n[outbox]\nmax_bytes = '64 KiB'\n[tenants]";
    let update = update(before, after);
    assert_eq!((update.changed, update.pending), (vec![], vec![]));
}

#[test]
fn changes_of_live_keys_are_applied() {
    let before = "[auth]\njwt_secret = 'old'\n[limits]\nmax_joins_per_second = 1\n\
                  [tenants.acme.limits]\nmax_events_per_second = 5\n[tenants.gone]";
    let after = "[auth]\njwt_secret = 'new'\n[limits]\nmax_joins_per_second = 2\n\
                 [tenants.acme]\nsuspended = true\n[tenants.acme.limits]\nmax_events_per_second = 5\n[tenants.come]";
    let update = update(before, after);
    assert_eq!(
        update.changed,
        [
            "auth.jwt_secret",
            "limits.max_joins_per_second",
            "tenants.acme.limits.max_joins_per_second",
            "tenants.acme.suspended",
            "tenants.come",
            "tenants.gone"
        ]
    );
    assert_eq!(update.pending, [""; 0]);
    assert_eq!(update.settings.limits.max_joins_per_second.get(), 2);
    assert!(update.settings.tenants["acme"].suspended);
}

#[test]
fn a_change_that_needs_a_restart_is_pending_until_it_is_reverted() {
    let mut server = TestServer::on("[server]\nport = 1001");
    let second = server.after("[server]\nport = 1002\n[limits]\nmax_joins_per_second = 2");
    assert_eq!(second.settings.server.port, 1001);
    assert_eq!(second.settings.limits.max_joins_per_second.get(), 2);
    assert_eq!(
        (second.changed, second.pending),
        (vec!["limits.max_joins_per_second".into()], vec!["server.port".into()])
    );

    let third = server.after("[server]\nport = 1002\n[limits]\nmax_joins_per_second = 2");
    assert_eq!((third.changed, third.pending), (vec![], vec!["server.port".to_owned()]), "still pending");

    let fourth = server.after("[server]\nport = 1001");
    assert_eq!(fourth.pending, [""; 0], "nothing is pending any more");
}

fn pending(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let update = update(before, after);
    (update.changed, update.pending)
}

#[test]
fn credentials_apply_at_once_and_another_address_waits_with_its_own() {
    let store = |url: &str| format!("[store]\nurl = 'postgres://{url}'");
    let bus = |url: &str| format!("[bus]\nredis_url = '{url}'");
    let applied = |key: &str| (vec![key.to_owned()], vec![]);
    let waits = |key: &str| (vec![], vec![key.to_owned()]);
    for (before, after) in [
        ("own:old@db/app", "own:new@db/app"),
        ("own:old@db/app", "other:new@db/app"),
        ("own@db/app", "own:p%40ss@db/app"),
        ("own@db/app?password=old", "own:new@db/app"),
        ("own:old@db/app", "db/app?user=own&password=new"),
        ("db/app?sslmode=require&user=own&password=old", "db/app?password=new&sslmode=require&user=own"),
    ] {
        assert_eq!(pending(&store(before), &store(after)), applied("store.url"), "{before} {after}");
    }
    for other in
        ["own:new@db2/app", "own:new@db:5433/app", "own:new@db/app2", "own:new@db/app?sslmode=require"]
    {
        assert_eq!(pending(&store("own:old@db/app"), &store(other)), waits("store.url"), "{other}");
    }
    let before = bus("redis://:old@cache:6379/0");
    assert_eq!(pending(&before, &bus("redis://own:new@cache:6379/0")), applied("bus.redis_url"));
    for other in ["rediss://:old@cache:6379/0", "redis://:old@cache:6379/1"] {
        assert_eq!(pending(&before, &bus(other)), waits("bus.redis_url"), "{other}");
    }
    assert_eq!(pending("", &before), waits("bus.redis_url"));
    assert_eq!(pending(&before, "[bus]"), waits("bus.redis_url"));
}

// The database of now does not know those of the next one.
#[test]
fn a_user_and_a_password_wait_with_the_host_they_belong_to() {
    let store = |host: &str, password: &str, more: &str| {
        format!("[store]\nhost = '{host}'\nuser = '{password}er'\npassword = '{password}'\n{more}")
    };
    let mut server = TestServer::on(&store("db", "old", ""));
    let update = server.after(&store("db", "new", "max_connections = 9"));
    assert_eq!(
        (update.changed, update.pending),
        (vec!["store.password".into(), "store.user".into()], vec!["store.max_connections".into()])
    );
    let update = server.after(&store("db2", "next", ""));
    assert_eq!(update.pending, ["store.host", "store.password", "store.user"]);
    let password = update.settings.store.password.expect("the running one");
    assert_eq!((password.expose_secret(), &*update.settings.store.user), ("new", "newer"));
    let update = server.after("[store]\nurl = 'postgres://own:newest@db/app'");
    assert_eq!(update.pending, ["store.host", "store.password", "store.url", "store.user"]);
}

#[test]
fn an_update_of_a_thousand_tenants_names_each_that_changed() {
    let tenants = |joins: u32| {
        let tenant = |n| {
            format!(
                "[tenants.t{n}.limits]\nmax_joins_per_second = {joins}\n[tenants.t{n}.auth]\njwt_secret = 's{n}'\n"
            )
        };
        (0..1000).map(tenant).collect::<String>()
    };
    let started = std::time::Instant::now();
    let mut server = TestServer::on(&tenants(1));
    let read = started.elapsed();
    let update = server.after(&tenants(2));
    eprintln!("1,000 tenants: read in {read:?}, read and compared in {:?}", started.elapsed() - read);
    assert_eq!(update.changed.len(), 1000);
    assert_eq!(update.settings.tenants["t999"].limits.max_joins_per_second.get(), 2);
}

// Which tenant the running server's `[auth]` and `[limits]` are for needs a restart as well.
#[test]
fn another_default_tenant_is_pending_and_changes_no_tenants_keys_and_limits() {
    let file = |default: &str, tenants: &str| format!("[server]\ndefault_tenant = '{default}'\n{tenants}");
    let both = "[tenants.default.auth]\njwt_secret = 'ours'\n[tenants.default.limits]\nmax_joins_per_second = 1\n\
                [tenants.acme.auth]\njwt_secret = 'theirs'\n[tenants.acme.limits]\nmax_joins_per_second = 2\n";
    for next in ["acme", "newcomer"] {
        let mut server = TestServer::on(&file("default", both));
        let update = server.after(&file(next, both));
        assert_eq!(
            (update.changed, update.pending),
            (vec![], vec!["server.default_tenant".to_owned()]),
            "{next}"
        );
        let settings = update.settings;
        assert_eq!(secret(&settings, "default").as_deref(), Some("ours"), "{next}");
        assert_eq!(secret(&settings, "acme").as_deref(), Some("theirs"), "{next}");
        let tenants = settings.every_tenant();
        assert_eq!(tenants.keys().collect::<Vec<_>>(), ["acme", "default"]);
        let joins = |tenant: &str| tenants[tenant].limits.max_joins_per_second.get();
        assert_eq!((joins("default"), joins("acme")), (1, 2));

        // Further edits still apply meanwhile, to the tenant that they name.
        let update = server.after(&file(next, &both.replace("'ours'", "'new'")));
        assert_eq!(update.changed, ["auth.jwt_secret"]);
        assert_eq!(secret(&update.settings, "default").as_deref(), Some("new"));
        assert_eq!(secret(&update.settings, "acme").as_deref(), Some("theirs"));
    }
}

#[test]
fn another_default_tenant_that_could_not_start_or_not_run_is_refused() {
    let ours = "[auth]\njwt_secret = 'ours'\n";
    let acme = "[tenants.acme.auth]\njwt_secret = 'theirs'\n";
    let default = "[tenants.default.auth]\njwt_secret = 'ours'\n";
    let next = "[server]\ndefault_tenant = 'acme'\n";
    let mut server = TestServer::on(&format!("{ours}{acme}"));
    server.folder.write("config.toml", &format!("{next}{ours}{acme}"));
    assert!(
        server.errors().contains("tenants.acme.auth: the keys of the default tenant are set in [auth] too")
    );
    server.after(&format!("{ours}{acme}"));
    // Before the restart a file that would be valid after it is refused.
    server.folder.write("config.toml", &format!("{next}{ours}{default}"));
    let errors = server.errors();
    assert!(
        errors.contains("tenants.default.auth: the keys of the default tenant are set in [auth]"),
        "{errors}"
    );
    assert!(errors.ends_with("help: until a restart, the default tenant is default"), "{errors}");
}

#[test]
fn a_file_that_vanishes_is_a_problem_and_changes_nothing() {
    let other = ("etc/config.toml", "[tenants.other]");
    let mut server = TestServer::with(&[("config.toml", "[tenants.acme]"), other], &[]);
    let gone = "config.toml: existed before and is missing now\n    \
                help: restore it, or restart the server to run without it";
    fs::rename(server.folder.path("config.toml"), server.folder.path("config.toml.bak")).expect("renamed");
    assert_eq!(server.errors(), gone, "though there is another one to be read");

    symlink("nowhere", server.folder.path("config.toml")).expect("a link");
    let errors = server.errors();
    assert!(errors.starts_with("config.toml: cannot be read: No such file"), "{errors}");
    fs::remove_file(server.folder.path("config.toml")).expect("removed");

    fs::create_dir(server.folder.path("config.toml")).expect("a folder");
    let errors = server.errors();
    assert!(errors.starts_with("config.toml: cannot be read: Is a directory"), "{errors}");
    fs::remove_dir(server.folder.path("config.toml")).expect("removed");
    assert_eq!(server.after("[tenants.acme]").changed, [""; 0], "it is back");
}

#[test]
fn a_removed_file_of_the_environment_is_a_problem() {
    let files = [("config.toml", ""), ("config.staging.toml", "# nothing yet")];
    let mut server = TestServer::with(&files, &[("REALTIME_ENV", "staging")]);
    assert_eq!(server.after("[tenants.acme]").changed, ["tenants.acme"]);
    server.folder.write("config.staging.toml", "[tenants.acme]\nsuspended = true");
    let update = server.after("[tenants.acme]");
    assert_eq!((update.changed, update.notes), (vec!["tenants.acme.suspended".into()], vec![]));
    fs::remove_file(server.folder.path("config.staging.toml")).expect("removed");
    assert!(
        server.errors().starts_with("config.staging.toml: existed before and is missing now"),
        "{}",
        server.errors()
    );
}

#[test]
fn files_of_the_folder_beside_may_be_removed() {
    let files = [("config.toml", ""), ("config.d/a.toml", "[tenants.a]"), ("config.d/b.toml", "[tenants.b]")];
    let mut server = TestServer::with(&files, &[]);
    fs::remove_file(server.folder.path("config.d/a.toml")).expect("removed");
    assert_eq!(server.after("").changed, ["tenants.a"]);
    fs::remove_dir_all(server.folder.path("config.d")).expect("removed");
    assert_eq!(server.after("").changed, ["tenants.b"]);
}

// A program that writes a file in place empties it first, and may take a while to fill it.
#[test]
fn a_file_that_became_empty_is_refused_and_one_with_a_comment_is_not() {
    let files = [("config.toml", "[tenants.acme]"), ("config.d/b.toml", "[tenants.b]")];
    let mut server = TestServer::with(&files, &[]);
    let emptied = "is empty now and was not before\n    help: to configure nothing, leave a comment in it";
    for blank in ["", "\n", " \n\t\n"] {
        server.folder.write("config.toml", blank);
        assert_eq!(server.errors(), format!("config.toml: {emptied}"));
    }
    server.folder.write("config.d/b.toml", "");
    server.folder.write("config.toml", "# empty");
    assert_eq!(server.errors(), format!("config.d/b.toml: {emptied}"));
    server.folder.write("config.d/b.toml", "# empty as well");
    assert_eq!(server.after("# empty").changed, ["tenants.acme", "tenants.b"]);
    server.folder.write("config.toml", "");
    server.errors();

    let mut server = TestServer::on("");
    assert_eq!(server.after("\n").changed, [""; 0], "it has always been empty");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let server = TestServer::on("[tenants.acme]");
    fs::write(server.folder.path("config.toml"), b"[tenants.acme]\n# \xff\xfe").expect("written");
    let errors = server.errors();
    assert!(errors.starts_with("config.toml:2:3: not text in UTF-8"), "{errors}");
}

#[test]
fn a_secrets_file_that_vanishes_or_is_empty_or_no_text_is_refused() {
    let variables = [("JWT_SECRET_FILE", "{}/jwt"), ("REALTIME__AUTH__JWT_SECRETS_FILE", "{}/more")];
    let server = TestServer::with(&[("jwt", "ours"), ("more", "next")], &variables);
    let (jwt, more) = (server.folder.path("jwt"), server.folder.path("more"));
    let errors = |change: fn(&std::path::Path) -> io::Result<()>, file: &std::path::Path| {
        let before = fs::read(file).expect("there");
        change(file).expect("changed");
        let errors = server.errors();
        fs::write(file, before).expect("put back");
        errors
    };
    assert_eq!(
        errors(|file| fs::write(file, "\n"), &jwt),
        "variable JWT_SECRET_FILE: jwt is empty\n    help: write the secret into it"
    );
    for file in [&jwt, &more] {
        assert!(errors(|file| fs::remove_file(file), file).contains("cannot be read: No such file"));
        assert!(
            errors(|file| fs::write(file, [255, 254]), file)
                .contains("cannot be read: it is not text in UTF-8")
        );
    }
    // The last step of a rotation.
    fs::write(&more, "").expect("emptied");
    let update = server.reload().expect("is applied");
    assert_eq!(update.changed, ["auth.jwt_secrets"]);
}
