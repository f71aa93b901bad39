//! Notifications of changes, by `NOTIFY` of PostgreSQL: each transaction that writes a tenant sends its name, and nothing
//! else, to those who listen on [`CHANNEL`]. They arrive once it is committed.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool};
use tokio::time::timeout;

use super::writer::accepts_writes;
use crate::store::{ChangedNames, StoreError};

/// The channel of all nodes that use a database.
const CHANNEL: &str = "realtime_tenants";

/// How long a connection may be silent before it is tried. Nothing else notices that a firewall has forgotten it, or that the server
/// was demoted: it then notifies of nothing.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// `statement` writes at most one row of `_realtime.tenants` and returns `external_id`. As before, the rows that are
/// affected are those that are written; it sends a notification for each.
pub(super) fn notifying(statement: &str) -> String {
    format!(
        "WITH written AS ({statement}) SELECT pg_catalog.pg_notify('{CHANNEL}', external_id)::text FROM written"
    )
}

/// Listens with a connection as those of `pool`, and beside them, so that it takes none from those who write.
/// `answer_max` is how long the database may take to answer.
pub(super) async fn listen(pool: &PgPool, answer_max: Duration) -> Result<ChangedNames, StoreError> {
    // A pool of its own each time: a connection that answers no more stays in it for long.
    let one = pool.options().clone().max_connections(1).max_lifetime(None).idle_timeout(None);
    let one = one.connect_lazy_with(PgConnectOptions::clone(&pool.connect_options()));
    let mut listener = PgListener::connect_with(&one).await?;
    // The reader of the stream connects again, after a pause, and compares everything, because what was sent meanwhile is lost.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    let names = stream::unfold(listener, move |mut listener| async move {
        loop {
            match timeout(SILENCE_MAX, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => return Some((notification.payload().to_owned(), listener)),
                Ok(Ok(None) | Err(_)) => return None,
                Err(_silent) => {
                    let answer = timeout(answer_max, accepts_writes(&mut listener)).await;
                    answer.ok().filter(|is_writer| *is_writer)?;
                }
            }
        }
    });
    Ok(names.boxed())
}
