//! Where a PostgreSQL database is, and how connections to it are secured.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::store::{Store, StoreTls};
use crate::{Settings, Tenant};

/// Where a PostgreSQL database is: a URL, or its parts.
#[derive(Debug, Clone)]
pub struct DatabaseAddress {
    /// `postgres://user:password@host:5432/database`. It takes precedence over the parts.
    pub url: Option<SecretString>,
    /// Host name or address.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password of the user.
    pub password: Option<SecretString>,
    /// The name of the database.
    pub database: String,
    /// Whether connections use TLS.
    pub tls_mode: StoreTls,
    /// CA certificates (PEM) that verify its certificate.
    pub tls_ca_file: Option<PathBuf>,
}

/// Whether it is the same database, reached in the same way. Not in constant time: both sides are the operator's own.
impl PartialEq for DatabaseAddress {
    fn eq(&self, other: &Self) -> bool {
        fn exposed(secret: Option<&SecretString>) -> Option<&str> {
            secret.map(ExposeSecret::expose_secret)
        }
        let Self { url, host, port, user, password, database, tls_mode, tls_ca_file } = self;
        exposed(url.as_ref()) == exposed(other.url.as_ref())
            && exposed(password.as_ref()) == exposed(other.password.as_ref())
            && (host, port, user, database) == (&other.host, &other.port, &other.user, &other.database)
            && (tls_mode, tls_ca_file) == (&other.tls_mode, &other.tls_ca_file)
    }
}

impl Store {
    /// The database that nodes share.
    pub fn address(&self) -> DatabaseAddress {
        DatabaseAddress {
            url: self.url.clone(),
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            tls_mode: self.tls_mode,
            tls_ca_file: self.tls_ca_file.clone(),
        }
    }
}

impl Tenant {
    /// The database that the tenant names.
    pub fn database_address(&self) -> Option<DatabaseAddress> {
        let database = &self.database;
        database.url.as_ref().map(|url| DatabaseAddress {
            url: Some(url.clone()),
            tls_mode: database.tls_mode,
            tls_ca_file: database.tls_ca_file.clone(),
            ..Store::default().address()
        })
    }
}

impl Settings {
    /// The database of the store, which is that of the default tenant if it names none.
    pub fn shared_database(&self) -> Option<DatabaseAddress> {
        self.store.is_shared().then(|| self.store.address())
    }
}
