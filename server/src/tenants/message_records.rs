//! What the database of a tenant has sent to a private room, as members that join later read it.

use hub::MemoryCharge;

/// Which messages of a room are read.
#[derive(Debug, Clone)]
pub struct RecordsQuery {
    /// The room.
    pub topic: Box<str>,
    /// Only messages that were sent then or later, in milliseconds since 1970.
    pub since: Option<i64>,
    /// The newest messages that the reader has. Others are read that follow the older half of those that the database has: it
    /// commits messages in another order than that of their times.
    pub after: Vec<u128>,
    /// If the database has none of those: when the oldest of them may have been sent, in milliseconds since 1970.
    pub after_time: Option<u64>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// What was read.
#[derive(Debug)]
pub struct MessageRecords {
    /// The messages, the oldest first.
    pub messages: Vec<MessageRecord>,
    /// Whether these are all that were sent after [`after`](RecordsQuery::after).
    pub is_complete: bool,
    /// When the last one of that half was sent, in milliseconds since 1970.
    pub known_at: Option<u64>,
    /// For the messages.
    pub charge: MemoryCharge,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its `meta.id`.
    pub id: u128,
    /// When the transaction that sent it began, in milliseconds since 1970.
    pub sent_at: u64,
    /// The user's event.
    pub event: Box<str>,
    /// The inner payload.
    pub payload: RecordPayload,
}

/// The inner payload of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPayload {
    /// Valid JSON.
    Json(Box<str>),
    /// Bytes.
    Bytes(Box<[u8]>),
}

impl MessageRecord {
    /// The bytes of its event and its payload.
    pub fn len(&self) -> usize {
        let payload = match &self.payload {
            RecordPayload::Json(text) => text.len(),
            RecordPayload::Bytes(bytes) => bytes.len(),
        };
        self.event.len() + payload
    }

    /// Whether it has neither.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why messages cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The database does not answer, for a reason that is in the log.
    #[error("the database does not answer")]
    Unavailable,
    /// The tenant has no memory for them.
    #[error("there is no memory for them")]
    OutOfMemory,
}
