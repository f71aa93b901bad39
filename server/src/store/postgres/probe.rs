//! Whether the database can be reached, and why not.
//!
//! A pool tries again until its time is over, and then says that no connection was free. Only a connection of
//! its own shows the reason.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::super::StoreError;
use super::PostgresStore;

impl PostgresStore {
    /// Asks on an idle connection, or connects as the pool would.
    pub(super) async fn reach(&self) -> Result<(), StoreError> {
        if let Some(mut idle) = self.pool.try_acquire()
            && idle.ping().await.is_ok()
        {
            return Ok(());
        }
        // The database may have closed that one, and accept others.
        let options = self.pool.connect_options();
        self.connect(&options).await.map_err(|error| match error {
            sqlx::Error::Io(error) => {
                let (host, port) = (options.get_host(), options.get_port());
                StoreError::Unavailable(format!("{host}:{port}: {error}"))
            }
            other => other.into(),
        })
    }

    /// Whether connections as those of the pool can be made in this way.
    pub(super) async fn connect(&self, options: &PgConnectOptions) -> sqlx::Result<()> {
        let mut connection = PgConnection::connect_with(options).await?;
        if let Some(query) = &self.after_connect_query {
            connection.execute(&**query).await?;
        }
        connection.close().await
    }
}
