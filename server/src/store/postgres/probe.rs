//! Whether the database can be reached, and why not.
//!
//! A pool tries again until its time is over, and then says that no connection was free. Only a connection of
//! its own shows the reason.

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
        self.connect().await
    }

    async fn connect(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options();
        let mut connection = PgConnection::connect_with(&options).await.map_err(|error| match error {
            sqlx::Error::Io(error) => {
                let (host, port) = (options.get_host(), options.get_port());
                StoreError::Unavailable(format!("{host}:{port}: {error}"))
            }
            other => other.into(),
        })?;
        if let Some(query) = &self.after_connect_query {
            connection.execute(&**query).await?;
        }
        Ok(connection.close().await?)
    }
}
