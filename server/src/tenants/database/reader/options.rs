//! How the log of a database is connected to: as its pool is, whose library has no replication.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::names::ReaderNames;
use crate::store::connect_options;
use crate::telemetry::codes::Code;
use crate::tenants::DatabaseSpec;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::log::{LogOptions, LogTls, SlotSource};

/// How long a new slot waits for the transactions that are open, as upstream does.
const SLOT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(240);

/// The largest row that is read. A payload of the size that clients may receive is far below.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of rows that were received and not handled yet.
const QUEUE_BYTES: usize = 1024 * 1024;

/// The options of a session.
pub(super) fn of(
    spec: &DatabaseSpec,
    (names, application_name): (&ReaderNames, &'static str),
    (publications, source): (Vec<String>, SlotSource),
) -> Result<LogOptions, DatabaseFailure> {
    let options = connect_options(&spec.address)
        .map_err(|error| DatabaseFailure::new(Code::UnableToConnectToProject, error.to_string()))?;
    let socket = options.get_socket().map(|folder| folder.to_string_lossy().into_owned());
    Ok(LogOptions {
        host: socket.unwrap_or_else(|| options.get_host().to_owned()),
        port: options.get_port(),
        user: options.get_username().to_owned(),
        password: password(spec),
        database: options.get_database().unwrap_or_else(|| options.get_username()).to_owned(),
        tls: tls(&options, spec),
        application_name,
        slot: names.slot().to_owned(),
        publications,
        source,
        lock_key: names.lock_key(),
        connect_timeout: spec.usage.connect_timeout,
        slot_timeout: SLOT_TIMEOUT,
        message_bytes_max: MESSAGE_BYTES_MAX,
        queue_bytes: QUEUE_BYTES,
    })
}

fn tls(options: &PgConnectOptions, spec: &DatabaseSpec) -> LogTls {
    match options.get_ssl_mode() {
        PgSslMode::Disable => LogTls::Off,
        PgSslMode::Allow | PgSslMode::Prefer => LogTls::Prefer,
        PgSslMode::Require => LogTls::Require,
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => {
            let in_url = || parameter(spec, &["sslrootcert", "ssl-root-cert", "ssl-ca"]).map(PathBuf::from);
            LogTls::Verify { ca_file: spec.address.tls_ca_file.clone().or_else(in_url) }
        }
    }
}

/// The password, which the pool's library does not show: of the URL, its parameters, or beside it.
fn password(spec: &DatabaseSpec) -> SecretString {
    let Some(url) = &spec.address.url else {
        return spec.address.password.clone().unwrap_or_default();
    };
    let authority = url.expose_secret().split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let in_authority = user.and_then(|user| user.split_once(':')).map(|(_, password)| decoded(password));
    let found = parameter(spec, &["password"]).or(in_authority);
    found.or_else(|| std::env::var("PGPASSWORD").ok()).unwrap_or_default().into()
}

/// A parameter of the URL, under one of these names.
fn parameter(spec: &DatabaseSpec, names: &[&str]) -> Option<String> {
    let url = spec.address.url.as_ref()?.expose_secret();
    let (_, query) = url.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| names.contains(name))
        .map(|(_, value)| decoded(&value.replace('+', " ")))
        .next_back()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use settings::{DatabaseAddress, Settings};

    use super::*;

    fn spec(url: &str) -> DatabaseSpec {
        let settings = Settings::default();
        let address = DatabaseAddress { url: Some(url.into()), ..settings.store.address() };
        DatabaseSpec { address, usage: settings.database, resume_wait: None }
    }

    #[test]
    fn a_session_is_authenticated_as_the_pool_is() {
        for (url, expected) in [
            (
                "postgres://ann:p%3Aw%40@db.example:6543/app?sslmode=disable",
                ("db.example", 6543, "ann", "p:w@", "app"),
            ),
            ("postgres://ann@db.example/app", ("db.example", 5432, "ann", "", "app")),
            (
                "postgres:///?host=db.example&port=1&dbname=a%2Fb&user=us%40er&password=p%3A%2F%3F%26%3D%23%20%C3%BC",
                ("db.example", 1, "us@er", "p:/?&=# ü", "a/b"),
            ),
        ] {
            let names = ReaderNames::new("slot".into(), "acme", super::super::Election::OneOfAll);
            let options = of(&spec(url), (&names, "test"), (Vec::new(), SlotSource::LogEnd)).expect("a URL");
            let found = (
                &*options.host,
                options.port,
                &*options.user,
                options.password.expose_secret(),
                &*options.database,
            );
            assert_eq!(found, expected, "{url}");
        }
    }
}
