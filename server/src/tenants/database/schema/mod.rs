//! The schema `realtime` in the database of a tenant, which policies and triggers of its application use.
//!
//! It has upstream's objects, and records upstream's versions, so that a database may be taken over from upstream and given
//! back. One that has versions is left alone, no matter which server has made it: only what is missing is reported. Everything
//! is made in one transaction under a lock, so nodes that start at the same time make it once.

pub(super) mod error;
mod inventory;
mod make;
mod versions;

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::timeout;

pub use error::SchemaError;
pub use versions::NEWEST_VERSION;

/// How long all of it may take, as upstream has it.
const PREPARE_MAX: Duration = Duration::from_secs(50);

/// Roles belong to the cluster, and two of its databases may be prepared at the same time: then one of the two transactions
/// fails, and finds what the other has made when it is repeated.
const ATTEMPTS: usize = 3;

/// What [`prepare`] has found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Where the schema comes from.
    pub state: SchemaState,
    /// The versions that it records, in order. Empty too when the role of the connection may not read them.
    pub versions: Vec<i64>,
    /// What the server needs of the schema and does not find: `realtime.messages`, or columns as `realtime.messages.topic`.
    pub missing_objects: Vec<String>,
    /// The roles of policies and grants that do not exist and could not be created.
    pub missing_roles: Vec<String>,
    /// The publications that do not exist. A schema that was there already gets none.
    pub missing_publications: Vec<String>,
}

/// Where the schema comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// It was made now.
    Made,
    /// It was there, made by upstream or by this server, of this version or an older one.
    Present,
    /// It was there, and records versions that are newer than [`NEWEST_VERSION`].
    UpstreamNewer,
}

/// Makes the schema in a database without one, and reports what is there. May be repeated, and done by several nodes at once.
///
/// # Errors
/// Then nothing is changed. After [`SchemaError::Timeout`] the connection may still be in use by the database: close it.
pub async fn prepare(connection: &mut PgConnection) -> Result<Prepared, SchemaError> {
    let attempts = async {
        for _ in 1..ATTEMPTS {
            match prepare_once(connection).await {
                Err(SchemaError::Database(error)) if error::is_conflict(&error) => {}
                result => return result,
            }
        }
        prepare_once(connection).await
    };
    within_time(attempts).await
}

/// Ends in an error what takes too long: the database, or the network to it, may not answer at all.
pub(super) async fn within_time<T>(
    work: impl Future<Output = Result<T, SchemaError>>,
) -> Result<T, SchemaError> {
    timeout(PREPARE_MAX, work).await.unwrap_or(Err(SchemaError::Timeout(PREPARE_MAX)))
}

async fn prepare_once(connection: &mut PgConnection) -> Result<Prepared, SchemaError> {
    let is_made = match make::make_if_missing(connection).await {
        Ok(is_made) => is_made,
        Err(error) => return Err(error::explained(connection, error).await),
    };
    let found = inventory(connection).await?;
    Ok(if is_made { Prepared { state: SchemaState::Made, ..found } } else { found })
}

/// What there is of the schema; `None` if [`prepare`] would make it. Changes nothing.
///
/// # Errors
/// When the database does not answer, or refuses to.
pub async fn inspect(connection: &mut PgConnection) -> Result<Option<Prepared>, SchemaError> {
    within_time(async {
        let exists = inventory::has_versions(connection).await?;
        if exists { inventory(connection).await.map(Some) } else { Ok(None) }
    })
    .await
}

async fn inventory(connection: &mut PgConnection) -> Result<Prepared, SchemaError> {
    let versions = inventory::versions(connection).await?;
    let is_newer = versions.last().is_some_and(|&newest| newest > NEWEST_VERSION);
    Ok(Prepared {
        state: if is_newer { SchemaState::UpstreamNewer } else { SchemaState::Present },
        versions,
        missing_objects: inventory::missing_objects(connection).await?,
        missing_roles: inventory::missing_roles(connection).await?,
        missing_publications: inventory::missing_publications(connection).await?,
    })
}

/// Makes the publication that messages sent from SQL are read by, or makes it again if it lists other tables. Returns whether it
/// is there now: not if the role of the connection may not make one. To be called before each start of reading, because an
/// administrator may have dropped it.
///
/// # Errors
/// Also when there is no table `realtime.messages`.
pub async fn make_messages_publication(connection: &mut PgConnection) -> Result<bool, SchemaError> {
    within_time(async { Ok(make::make_messages_publication(connection).await?) }).await
}

/// The SQL that [`prepare`] executes in a database without the schema, to be run by hand: one transaction.
pub fn script() -> String {
    make::script()
}

/// How many versions a schema records that is made by [`prepare`].
pub fn versions_made() -> usize {
    versions::VERSIONS.len()
}

/// The SQL of the functions `auth.uid()` and the like, which policies written for Supabase call. They are not part of the
/// schema. It may be executed again.
pub fn auth_helpers() -> &'static str {
    make::AUTH_HELPERS
}
