//! What a reload applies although something is refused: each source keeps the text that was accepted of it last.

use secrecy::ExposeSecret as _;
use settings::{LoadError, Problem, Update};

use crate::changes::TestServer;

/// `config.toml` with this text, and a file each for the operators' secret and for Redis.
fn server(file: &str) -> TestServer {
    let files = [("config.toml", file), ("operators", "old"), ("redis", "redis://:old@cache")];
    let variables = [("API_JWT_SECRET_FILE", "{}/operators"), ("REDIS_URL_FILE", "{}/redis")];
    TestServer::with(&files, &variables)
}

fn operators(update: &Update) -> &str {
    update.settings.admin.jwt_secret.as_ref().expect("it is set").expose_secret()
}

impl TestServer {
    /// What is applied although something is refused.
    fn rest(&mut self) -> Option<Update> {
        let refused = self.reload().expect_err("something is refused");
        let rest = refused.rest.map(|rest| *rest)?;
        self.on = rest.running.clone();
        Some(rest)
    }
}

#[test]
fn a_mistake_in_a_file_does_not_hold_back_secrets() {
    let mistakes = ["[limits]\nmax_joinz = 1", "[limits", "server.port = 'none'", ""];
    for mistake in mistakes {
        let mut server = server("server.max_connections = 1");
        server.folder.write("config.toml", mistake);
        server.folder.write("operators", "new");
        server.folder.write("redis", "redis://:new@cache");
        let rest = server.rest().expect("the secrets are applied");
        assert_eq!(rest.changed, ["admin.jwt_secret", "bus.redis_url"], "{mistake}");
        assert_eq!((operators(&rest), rest.settings.server.max_connections.get()), ("new", 1), "{mistake}");
        assert!(server.errors().starts_with("config.toml"), "it is still reported");
        assert!(server.rest().is_none(), "there is no more to apply");
    }
}

#[test]
fn a_file_of_the_configuration_that_has_vanished_counts_as_it_was() {
    let mut server = server("server.max_connections = 1");
    std::fs::remove_file(server.folder.path("config.toml")).expect("removed");
    server.folder.write("operators", "new");
    let rest = server.rest().expect("the secret is applied");
    assert_eq!((operators(&rest), rest.settings.server.max_connections.get()), ("new", 1));
}

#[test]
fn a_refused_secret_keeps_its_value_and_the_rest_is_applied() {
    let refused = |name: &str, text: &str| {
        let mut server = server("server.max_connections = 1");
        server.folder.write(name, text);
        server.folder.write("config.toml", "server.max_connections = 2");
        let rest = server.rest().expect("the file is applied");
        assert_eq!(rest.settings.server.max_connections.get(), 2, "{name}: {text}");
        (server, rest)
    };
    let (mut server, rest) = refused("redis", "no address");
    assert_eq!(rest.settings.bus.redis_url.expect("it is set").expose_secret(), "redis://:old@cache");
    server.folder.write("operators", "new");
    assert_eq!(operators(&server.rest().expect("the other secret is applied")), "new");
    // Empty, as a file that is written in place is first.
    let (server, rest) = refused("operators", "");
    assert_eq!(operators(&rest), "old");
    server.folder.write("operators", "new");
    let update = server.reload().expect("nothing is refused any more");
    assert_eq!(
        (update.changed.as_slice(), operators(&update)),
        (&["admin.jwt_secret".to_owned()][..], "new")
    );
}

#[test]
fn files_of_the_configuration_are_refused_together() {
    let mut server = server("server.max_connections = 1");
    server.folder.write("config.toml", "server.max_connections = 2");
    server.folder.write("config.d/more.toml", "[limits]\nmax_joinz = 1");
    assert!(server.rest().is_none());
    server.folder.write("operators", "new");
    let rest = server.rest().expect("the secret is applied");
    assert_eq!(
        (rest.changed.as_slice(), rest.settings.server.max_connections.get()),
        (&["admin.jwt_secret".to_owned()][..], 1)
    );
}

#[test]
fn what_only_the_server_refuses_holds_nothing_else_back() {
    let server = server("server.max_connections = 1");
    server.folder.write("config.toml", "server.max_connections = 2");
    server.folder.write("operators", "new");
    let two = |update: &Update| {
        let problem = Problem {
            location: None,
            key: "server.max_connections".into(),
            message: "too many".into(),
            help: None,
            persistence: settings::file_access::Persistence::UntilEdited,
        };
        let is_two = update.settings.server.max_connections.get() == 2;
        if is_two { Err(LoadError { problems: vec![problem], omitted: 0 }) } else { Ok(()) }
    };
    let refused = server.sources.reload(&server.on, two).expect_err("it is refused");
    assert_eq!(refused.error.to_string(), "server.max_connections: too many");
    let rest = refused.rest.expect("the secret is applied");
    assert_eq!((operators(&rest), rest.settings.server.max_connections.get()), ("new", 1));
}
