//! Where a PostgreSQL database is, and how connections to it are secured.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::address::without_password;
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

impl DatabaseAddress {
    /// Whether it is the same database for the same user, whatever the password.
    pub fn is_same_login(&self, other: &Self) -> bool {
        let url = |address: &Self| {
            let url = address.url.as_ref().map(ExposeSecret::expose_secret);
            url.map(|url| without_password(url).ok_or(url.to_owned()))
        };
        let without = |address: &Self| Self { url: None, password: None, ..address.clone() };
        url(self) == url(other) && without(self) == without(other)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_password_is_the_same_login_and_another_user_is_not() {
        let at = |url: &str| DatabaseAddress { url: Some(url.into()), ..Store::default().address() };
        let before = at("postgres://own:old@db/app?sslmode=require");
        for (other, is_same) in [
            ("postgres://own:new@db/app?sslmode=require", true),
            ("postgres://own@db/app?sslmode=require&password=new", true),
            ("postgres://other:old@db/app?sslmode=require", false),
            ("postgres://own:old@db/app", false),
            ("postgres://own:old@db2/app?sslmode=require", false),
        ] {
            assert_eq!(before.is_same_login(&at(other)), is_same, "{other}");
        }
        let parts = |user: &str, password: &str| DatabaseAddress {
            user: user.into(),
            password: Some(password.into()),
            ..Store::default().address()
        };
        assert!(parts("own", "old").is_same_login(&parts("own", "new")));
        assert!(!parts("own", "old").is_same_login(&parts("other", "old")));
    }
}
