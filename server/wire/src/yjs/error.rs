//! Why bytes of a Yjs client are refused. No variant holds a part of them, so that it may be logged.

use crate::lib0::Lib0Error;

/// Why a message cannot be read, or must not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum YjsError {
    /// A field cannot be read, or bytes follow the last one.
    #[error(transparent)]
    Field(#[from] Lib0Error),
    /// The protocol has no message of this type.
    #[error("message of the unknown type {0}")]
    MessageType(u64),
    /// A sync message that is neither of the two steps nor an update.
    #[error("sync message of the unknown type {0}")]
    SyncType(u64),
    /// A message about the right to a document, of a type that does not exist.
    #[error("auth message of the unknown type {0}")]
    AuthType(u64),
    /// A scope that is neither `read-write` nor `readonly`.
    #[error("unknown scope")]
    Scope,
    /// A sync status that is neither 0 nor 1.
    #[error("sync status is neither 0 nor 1")]
    SyncStatus,
    /// The name of the document is empty, or only whitespace.
    #[error("name of the document is empty")]
    EmptyName,
    /// A clock above [`CLOCK_MAX`](super::CLOCK_MAX), or a length that leads there.
    #[error("clock is too large")]
    Clock,
    /// The state of a client, an embedded value or a format is not JSON.
    #[error("value is not JSON")]
    NotJson,
    /// A client has two sections in an update, of which clients apply only one.
    #[error("client has two sections")]
    RepeatedClient,
    /// A client has a section without structs, or whose structs have no length.
    #[error("section of a client is empty")]
    EmptySection,
    /// A struct of a type that does not exist.
    #[error("struct of the unknown type {0}")]
    StructType(u8),
    /// A range of collected or skipped clocks without a length.
    #[error("struct is empty")]
    EmptyStruct,
    /// The parent of an item is neither a name nor an id.
    #[error("parent is neither a name nor an id")]
    Parent,
    /// An item refers to an item of the same client that does not precede it.
    #[error("item refers to a later one")]
    LaterItem,
    /// The content of Yjs up to version 12, of which yrs reads one value too many.
    #[error("content of Yjs 12 is not supported")]
    LegacyContent,
    /// A shared type that does not exist, or an XML hook, whose name yrs does not read.
    #[error("shared type {0} is not supported")]
    SharedType(u8),
    /// A value of a type that does not exist.
    #[error("value of the unknown type {0}")]
    ValueType(u8),
    /// Arrays and objects within each other, more than [`ANY_DEPTH_MAX`](super::ANY_DEPTH_MAX).
    #[error("value is nested too deeply")]
    Depth,
    /// Deleted ranges of a client that overlap, or are not in the order of their clocks.
    #[error("deleted ranges are not in order")]
    DeletedRanges,
}
