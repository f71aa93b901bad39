//! What a client sends for a document before its token is verified.

use settings::Settings;

use crate::documents::MemberMessage;

/// How much is kept for all documents of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldBounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// A message that is kept.
pub(super) struct EarlyMessage {
    pub(super) message: MemberMessage,
    pub(super) bytes: usize,
}

impl EarlyMessage {
    pub(super) fn new(message: MemberMessage) -> Self {
        let bytes = message.bytes();
        Self { message, bytes }
    }

    /// Whether the client asks for what it lacks.
    pub(super) fn is_question(&self) -> bool {
        matches!(self.message, MemberMessage::Lacks(_))
    }
}

/// The bounds of these settings.
pub(super) fn bounds(settings: &Settings) -> HeldBounds {
    HeldBounds {
        messages: settings.server.max_held_messages.get(),
        bytes: usize::try_from(settings.server.max_held_bytes.as_u64()).unwrap_or(usize::MAX),
    }
}
