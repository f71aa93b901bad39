//! A message that SQL has written to `realtime.messages`, and what receives it.

use std::sync::Arc;

use hub::Privacy;

use crate::tenants::Tenant;

/// A message that SQL has written to `realtime.messages`.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseMessage<'a> {
    /// Its row, a UUID.
    pub id: &'a str,
    /// The sub-topic.
    pub topic: &'a str,
    /// The event.
    pub event: &'a str,
    /// What is sent.
    pub payload: DatabasePayload<'a>,
    /// To the public or the private room.
    pub privacy: Privacy,
}

/// What a message sends.
#[derive(Debug, Clone, Copy)]
pub enum DatabasePayload<'a> {
    /// JSON.
    Json(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Receives what readers find.
pub trait DatabaseMessages: Send + Sync {
    /// Sends a message to its room. Returns how many members it was delivered to.
    ///
    /// # Errors
    /// Why it is dropped.
    fn publish(&self, tenant: &Arc<Tenant>, message: DatabaseMessage<'_>) -> Result<usize, DroppedMessage>;

    /// Messages may have been lost, because no node has read the log for a time.
    fn note_gap(&self, tenant: &Arc<Tenant>);
}

/// Why a row of `realtime.messages` is not sent. The words are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DroppedMessage(pub &'static str);
