//! Why a frame is dropped.
//!
//! The error goes to the log, to a metric and, if the frame names its channel, to the sender. No variant holds a part of
//! the frame, because frames contain tokens and other users' data.

/// Why a frame could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A text frame that is not JSON.
    #[error("text frame is not JSON")]
    NotJson,
    /// JSON, but no array of five (V2), or no object with topic, event, payload and ref (V1).
    #[error("text frame has not the shape of a message")]
    WrongShape,
    /// The topic is not a string, or not valid text.
    #[error("topic is not a string")]
    Topic,
    /// The event is not a string, or not valid text.
    #[error("event is not a string")]
    Event,
    /// A ref or join_ref is neither a string, nor a number, nor null.
    #[error("ref is not a string, a number or null")]
    Ref,
    /// A ref or join_ref is longer than [`FIELD_BYTES_MAX`](super::FIELD_BYTES_MAX).
    #[error("ref is too long")]
    RefTooLong,
    /// V1 has no binary messages.
    #[error("binary frame from a client that speaks V1")]
    BinaryInV1,
    /// A binary frame that is not a user broadcast.
    #[error("binary frame of kind {0}")]
    Kind(u8),
    /// A binary frame that ends before its fields do.
    #[error("binary frame ends too early")]
    Truncated,
    /// The payload of a binary frame is announced as JSON and is not JSON.
    #[error("payload of a binary frame is not JSON")]
    Payload,
    /// The metadata of a binary frame is not a JSON object.
    #[error("metadata of a binary frame is not a JSON object")]
    Metadata,
}

impl From<serde_json::Error> for DecodeError {
    /// Keeps only the category: the text of serde_json may quote the input.
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() { Self::WrongShape } else { Self::NotJson }
    }
}
