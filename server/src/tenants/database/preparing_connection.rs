//! Prepares the database of a tenant without a server, on the order of an operator.

use std::time::SystemTime;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::partitions::{self, Day};
use super::schema::{self, Prepared, SchemaError};
use super::{DatabaseFailure, client_roles, preparation, session};
use crate::tenants::DatabaseSpec;

/// What PostgreSQL writes into its write-ahead log.
const WAL_LEVEL: &str = "SELECT pg_catalog.current_setting('wal_level')";

/// The statement without which the role of the connection may not read the write-ahead log. Amazon RDS has a role for that.
const MISSING_REPLICATION: &str = "
    SELECT pg_catalog.format('ALTER ROLE %I REPLICATION', rolname)
    FROM pg_catalog.pg_roles
    WHERE rolname = current_user AND NOT (rolsuper OR rolreplication) AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_roles AS managed
        WHERE managed.rolname = 'rds_replication' AND pg_catalog.pg_has_role(managed.oid, 'MEMBER'))";

/// A connection by which the database of a tenant is prepared.
pub struct PreparingConnection(PgConnection);

/// What the database of a tenant lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What there is of the schema `realtime`; `None` if it is missing.
    pub schema: Option<Prepared>,
    /// The days without a partition.
    pub partitions: Vec<Day>,
}

impl PreparingConnection {
    /// Connects.
    ///
    /// # Errors
    /// When that cannot be done in time.
    pub async fn connect(spec: &DatabaseSpec) -> Result<Self, DatabaseFailure> {
        session::connect(spec, preparation::MIGRATIONS_NAME).await.map(Self)
    }

    /// What is missing. Changes nothing.
    ///
    /// # Errors
    /// When the database does not answer, or refuses to.
    pub async fn missing(&mut self) -> Result<Missing, SchemaError> {
        let schema = schema::inspect(&mut self.0).await?;
        let partitions = partitions::missing_partitions(&mut self.0, today()).await?;
        Ok(Missing { schema, partitions })
    }

    /// Makes what is missing, and returns what there is of the schema then, and for which days partitions were made.
    ///
    /// # Errors
    /// At the first one that cannot be made; those before it are.
    pub async fn apply(&mut self) -> Result<(Prepared, Vec<Day>), SchemaError> {
        let prepared = schema::prepare(&mut self.0).await?;
        let made = partitions::make_partitions(&mut self.0, today()).await?;
        Ok((prepared, made))
    }

    /// Makes the functions of [`schema::auth_helpers`] that are missing.
    ///
    /// # Errors
    /// When the role of the connection may not, or the database does not answer in time.
    pub async fn make_auth_helpers(&mut self) -> Result<(), SchemaError> {
        let script = sqlx::raw_sql(schema::auth_helpers());
        schema::within_time(async { Ok(self.0.execute(script).await.map(drop)?) }).await
    }

    /// What clients need and is neither of the schema nor made by [`apply`](Self::apply), each as a sentence.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lacks_besides(&mut self) -> Result<Vec<String>, SchemaError> {
        schema::within_time(async {
            let grant = client_roles::missing_grant(&mut self.0).await?;
            let replication: Option<String> = sqlx::query_scalar(MISSING_REPLICATION).fetch_optional(&mut self.0).await?;
            let replication = replication.map(|statement| {
                format!("the role of the connection may not read messages from SQL and changes of tables; it needs `{statement}`")
            });
            let wal_level: String = sqlx::query_scalar(WAL_LEVEL).fetch_one(&mut self.0).await?;
            let is_logical = wal_level == "logical";
            let level = (!is_logical).then(|| {
                format!(
                    "wal_level is {wal_level}, and messages from SQL and changes of tables need logical: \
                     `ALTER SYSTEM SET wal_level = logical`, and a restart of PostgreSQL"
                )
            });
            Ok(grant.into_iter().chain(replication).chain(level).collect())
        })
        .await
    }

    /// Closes the connection.
    pub async fn close(self) {
        let _closed = self.0.close().await;
    }
}

impl Missing {
    /// The SQL that makes it, to be run by hand.
    pub fn script(&self) -> String {
        let schema = if self.schema.is_none() { schema::script() } else { String::new() };
        schema + &partitions::script(&self.partitions)
    }
}

fn today() -> Day {
    Day::at(SystemTime::now())
}
