//! A broadcast in the form in which it was sent, which [`supabase`](crate::supabase) encodes for clients and
//! [`relay`](crate::relay) for other nodes.

use serde::Deserialize;
use uuid::Uuid;

use crate::phoenix::UserPayload;

/// A message to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast<'a> {
    /// Sent over a socket as text. Every member receives it unchanged.
    Text {
        /// The whole `{"type":…,"event":…,"payload":…}`, valid JSON.
        payload: &'a str,
    },
    /// Sent in binary form, by the HTTP endpoint for one event, or by the database.
    User {
        /// The user's event.
        event: &'a str,
        /// The inner payload.
        payload: UserPayload<'a>,
        /// A JSON object, such as `{"id":…}`.
        meta: Option<&'a str>,
    },
    /// Sent by the HTTP endpoint for batches, or replayed. Every member receives it as text.
    Http {
        /// The user's event.
        event: &'a str,
        /// The inner payload, valid JSON.
        payload: &'a str,
        /// A JSON object, such as `{"id":…}`.
        meta: Option<&'a str>,
    },
}

/// Metadata of a message that has an id.
#[derive(Deserialize)]
struct Meta<'m> {
    id: &'m str,
}

impl Broadcast<'_> {
    /// The id in its metadata.
    pub fn chosen_id(&self) -> Option<Uuid> {
        let (Self::User { meta, .. } | Self::Http { meta, .. }) = *self else { return None };
        let Meta { id } = serde_json::from_str(meta?).ok()?;
        Uuid::try_parse(id).ok()
    }
}
