//! Why the server closes a WebSocket over which documents are edited, and what its clients do then: y-websocket 3.1 does not
//! connect again after 4400 to 4499, and does after every other code; Hocuspocus 3 and 4 do after all.
//!
//! Clients of the Phoenix protocol never receive these codes.

use std::borrow::Cow;

use hub::Disconnect;

/// Bytes of the text of a close frame: a control frame carries 125, two of which are the code (RFC 6455 §5.5).
const TEXT_BYTES_MAX: usize = 123;

/// Why the server closes a connection that edits documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentCloseReason {
    /// A message cannot be read, or an update contradicts the document. Sent again, it would do so again.
    Invalid,
    /// The client came without a token that is accepted.
    Unauthorized,
    /// The tenant, the room or the document is not for this client.
    Forbidden,
    /// The document was deleted.
    Deleted,
    /// The client has sent no accepted token in the time for that.
    NotAuthenticated,
    /// A message is larger than the server accepts. Sent again, it would be so again.
    TooLarge,
    /// The token was accepted, and has expired since. The client comes back with the token that it has by then.
    TokenExpired,
    /// The client has not received what was sent to it.
    ReadsTooSlowly,
    /// The client sends more than it may.
    RateLimited,
    /// The document cannot be served at the moment.
    Failed,
    /// What is stored of the document cannot be read.
    Damaged,
}

impl DocumentCloseReason {
    /// The close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Failed | Self::Damaged => 1011,
            Self::Invalid => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden => 4403,
            Self::Deleted => 4404,
            Self::NotAuthenticated => 4408,
            Self::TooLarge => 4413,
            Self::TokenExpired => 4503,
            Self::ReadsTooSlowly => 4508,
            Self::RateLimited => 4529,
        }
    }

    /// The reason sent with the code, where nothing more is known.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Invalid => "invalid message",
            Self::Unauthorized => "token is missing or not accepted",
            Self::Forbidden => "not allowed",
            Self::Deleted => "document was deleted",
            Self::NotAuthenticated => "no token in time",
            Self::TooLarge => "message is too large",
            Self::TokenExpired => "token has expired",
            Self::ReadsTooSlowly => "reading too slowly",
            Self::RateLimited => "sending too much",
            Self::Failed => "document cannot be served now",
            Self::Damaged => "document cannot be read",
        }
    }

    /// Whether the same client may succeed when it connects again, without anything else being done.
    pub const fn passes(self) -> bool {
        matches!(self, Self::ReadsTooSlowly | Self::RateLimited | Self::Failed)
    }

    /// It with a text of one's own, of which what a close frame can carry is sent.
    pub fn with_text(self, text: &str) -> Disconnect {
        let mut ends = (0..=text.len().min(TEXT_BYTES_MAX)).rev();
        let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        Disconnect { code: self.code(), reason: Cow::Owned(text[..end].to_owned()) }
    }
}

impl From<DocumentCloseReason> for Disconnect {
    fn from(reason: DocumentCloseReason) -> Self {
        Self { code: reason.code(), reason: reason.text().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_comes_back_unless_that_would_be_in_vain() {
        let is_final = |reason: DocumentCloseReason| (4400..4500).contains(&reason.code());
        for reason in [
            DocumentCloseReason::Unauthorized,
            DocumentCloseReason::Forbidden,
            DocumentCloseReason::Deleted,
            DocumentCloseReason::NotAuthenticated,
            DocumentCloseReason::TooLarge,
        ] {
            assert!(is_final(reason), "{reason:?}");
        }
        for reason in [
            DocumentCloseReason::TokenExpired,
            DocumentCloseReason::ReadsTooSlowly,
            DocumentCloseReason::RateLimited,
            DocumentCloseReason::Failed,
        ] {
            assert!(!is_final(reason), "{reason:?}");
        }
    }

    #[test]
    fn a_text_is_cut_to_what_a_close_frame_carries() {
        let disconnect = DocumentCloseReason::Unauthorized.with_text(&"ü".repeat(100));
        assert_eq!((disconnect.code, &*disconnect.reason), (4401, &*"ü".repeat(61)));
        assert_eq!(DocumentCloseReason::Forbidden.with_text("no").reason, "no");
    }
}
