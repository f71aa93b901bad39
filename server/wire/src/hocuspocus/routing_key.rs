//! How a frame names its document.

use crate::yjs::YjsError;

/// What separates the document from the session.
const SEPARATOR: char = '\0';

/// The name of a document, and of a session if the client has session awareness: then two providers of one connection use
/// the same document, each under its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoutingKey<'a> {
    key: &'a str,
    document: &'a str,
}

impl<'a> RoutingKey<'a> {
    /// Splits a key at its first NUL. So the name of a document has none.
    ///
    /// # Errors
    /// When the name of the document is empty or only whitespace.
    pub fn parse(key: &'a str) -> Result<Self, YjsError> {
        let document = key.split(SEPARATOR).next().unwrap_or_default();
        if document.chars().all(is_trimmed) {
            return Err(YjsError::EmptyName);
        }
        Ok(Self { key, document })
    }

    /// The whole key, with which an answer begins.
    pub fn as_str(&self) -> &'a str {
        self.key
    }

    /// The name of the document. Whitespace around it belongs to it.
    pub fn document(&self) -> &'a str {
        self.document
    }

    /// The session, which the client draws at random.
    pub fn session(&self) -> Option<&'a str> {
        self.key[self.document.len()..].strip_prefix(SEPARATOR)
    }
}

/// Whether `trim` of JavaScript removes it.
fn is_trimmed(character: char) -> bool {
    character == '\u{feff}' || character.is_whitespace() && character != '\u{85}'
}
