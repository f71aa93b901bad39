//! Reads `realtime.messages` for members that join later (docs/protocol/history.md#messages-of-the-database).
//!
//! By the role of the connection, so no policy is asked: the member may read broadcasts. In the order of `inserted_at`, which
//! is the time at which a transaction began, and for messages of the same time in that of their places in the table, which is
//! the order in which they were written.

use futures_util::TryStreamExt;
use hub::{MemoryCharge, MemoryKind};
use sqlx::postgres::PgRow;
use sqlx::{Error, PgConnection, Row as _};
use uuid::Uuid;

use super::{Databases, TenantDatabase};
use crate::auth::QuestionTurn;
use crate::tenants::{MessageRecord, MessageRecords, RecordPayload, RecordsError, RecordsQuery};

/// The messages that the reader names, and of these the one that the older half ends with: its time, and its place.
const KNOWN: &str = "
    WITH known AS (
        SELECT inserted_at, ctid AS place FROM realtime.messages
        WHERE id = ANY ($1::uuid[]) AND topic = $2 AND private IS TRUE AND extension = 'broadcast')
    SELECT inserted_at::text, place::text, (extract(epoch FROM inserted_at) * 1000)::bigint
    FROM known ORDER BY inserted_at DESC, place DESC LIMIT 1 OFFSET (SELECT count(*) / 2 FROM known)";

/// The newest messages. Those that were not sent to members, because a value is missing or the payload is too large, are none.
const MESSAGES: &str = "
    SELECT id::text, event, payload::text, binary_payload, (extract(epoch FROM inserted_at) * 1000)::bigint
    FROM realtime.messages
    WHERE topic = $1 AND private IS TRUE AND extension = 'broadcast'
        AND inserted_at >= greatest('-infinity', 'epoch'::timestamp + $2 * interval '1 millisecond', $3::timestamp)
        AND inserted_at < pg_catalog.timezone('UTC', pg_catalog.now()) + interval '1 minute'
        AND ($3::timestamp IS NULL OR inserted_at > $3::timestamp OR ctid > $4::tid)
        AND id <> ALL ($5::uuid[])
        AND event IS NOT NULL AND coalesce(octet_length(payload::text), octet_length(binary_payload)) <= $6
    ORDER BY inserted_at DESC, ctid DESC LIMIT $7";

/// Bytes that a message takes beside its texts.
const MESSAGE_OVERHEAD: usize = 128;

/// A message that the reader has.
struct Known {
    inserted_at: String,
    place: String,
    sent_at: u64,
}

impl Databases {
    /// Reads what the database of a tenant has sent to a private room, in a turn of the client's questions. The turn ends with
    /// the answer, also if the client does not wait for that: it would ask the next question meanwhile.
    ///
    /// # Errors
    /// When it does not answer, or the tenant has no memory for the messages.
    pub async fn records(
        &self,
        tenant: &str,
        query: RecordsQuery,
        turn: impl Future<Output = QuestionTurn>,
    ) -> Result<MessageRecords, RecordsError> {
        let turn = turn.await;
        let database = self.get(tenant).ok_or(RecordsError::Unavailable)?;
        let reading = self.tasks.spawn(async move {
            let read = ask(&database, &query).await;
            drop(turn);
            read
        });
        reading.await.unwrap_or(Err(RecordsError::Unavailable))
    }
}

async fn ask(database: &TenantDatabase, query: &RecordsQuery) -> Result<MessageRecords, RecordsError> {
    let connection = database.acquire().await.map_err(|_reported| RecordsError::Unavailable)?;
    let read = database.ask(connection, async |connection| read(connection, database, query).await);
    read.await.map_err(|_reported| RecordsError::Unavailable)?.ok_or(RecordsError::OutOfMemory)
}

/// `None` if there is no memory.
async fn read(
    connection: &mut PgConnection,
    database: &TenantDatabase,
    query: &RecordsQuery,
) -> Result<Option<MessageRecords>, Error> {
    let ids: Vec<String> = query.after.iter().map(|id| Uuid::from_u128(*id).to_string()).collect();
    let known = if ids.is_empty() { None } else { known(connection, query, &ids).await? };
    let bytes_max = i64::try_from(database.tenant.allowance.max_payload_bytes()).unwrap_or(i64::MAX);
    let after_time = query.after_time.and_then(|time| i64::try_from(time).ok()).filter(|_| known.is_none());
    let rows = sqlx::query(MESSAGES)
        .persistent(false)
        .bind(&*query.topic)
        .bind(query.since.max(after_time))
        .bind(known.as_ref().map(|known| &*known.inserted_at))
        .bind(known.as_ref().map(|known| &*known.place))
        .bind(&ids)
        .bind(bytes_max)
        .bind(i64::try_from(query.limit + 1).unwrap_or(i64::MAX))
        .fetch(connection);
    let charge = database.tenant.memory.charge(MemoryKind::Sending, 0);
    let Some((mut messages, charge)) = charged(rows, charge).await? else {
        database.tenant.memory.count_refusal(MemoryKind::Sending);
        return Ok(None);
    };
    let is_limited = messages.len() > query.limit;
    messages.truncate(query.limit);
    messages.reverse();
    let reaches = known.is_some() || query.after_time.is_some_and(|time| time >= oldest_kept(database));
    let is_complete = query.after.is_empty() || reaches && !is_limited;
    Ok(Some(MessageRecords { messages, is_complete, known_at: known.map(|known| known.sent_at), charge }))
}

async fn known(
    connection: &mut PgConnection,
    query: &RecordsQuery,
    ids: &[String],
) -> Result<Option<Known>, Error> {
    let row = sqlx::query(KNOWN).persistent(false).bind(ids).bind(&*query.topic);
    let row = row.fetch_optional(connection).await?;
    let known = |row: PgRow| {
        let (inserted_at, place, sent_at): (String, String, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(Known { inserted_at, place, sent_at: sent_at.try_into().unwrap_or_default() })
    };
    row.map(known).transpose()
}

/// Reads rows as long as there is memory for them.
async fn charged(
    mut rows: impl futures_util::Stream<Item = Result<PgRow, Error>> + Unpin,
    mut charge: MemoryCharge,
) -> Result<Option<(Vec<MessageRecord>, MemoryCharge)>, Error> {
    let mut messages = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let Some(message) = message(&row)? else { continue };
        if !charge.try_grow(message.len() + MESSAGE_OVERHEAD) {
            return Ok(None);
        }
        messages.push(message);
    }
    Ok(Some((messages, charge)))
}

fn message(row: &PgRow) -> Result<Option<MessageRecord>, Error> {
    let (id, event): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    let (json, bytes): (Option<&str>, Option<&[u8]>) = (row.try_get(2)?, row.try_get(3)?);
    let sent_at: i64 = row.try_get(4)?;
    let payload = match (bytes, json) {
        (Some(bytes), _) => RecordPayload::Bytes(bytes.into()),
        (None, Some(json)) => RecordPayload::Json(json.into()),
        (None, None) => return Ok(None),
    };
    let Ok(id) = Uuid::try_parse(id) else { return Ok(None) };
    let sent_at = sent_at.try_into().unwrap_or_default();
    Ok(Some(MessageRecord { id: id.as_u128(), sent_at, event: event.into(), payload }))
}

/// When the oldest message that the database has for certain was sent, in milliseconds since 1970.
fn oldest_kept(database: &TenantDatabase) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let age = now.saturating_sub(database.spec.usage.retention);
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
