//! Messages about one document.
//!
//! | type | message | from | content |
//! |---|---|---|---|
//! | 0 | sync | both | its type · `var_bytes` |
//! | 1 | awareness | both | `var_bytes` |
//! | 2 | token | client | 0 · token, since version 4 · version |
//! | 2 | token request | server | 0 |
//! | 2 | permission denied | server | 1 · reason |
//! | 2 | authenticated | server | 2 · `read-write` or `readonly` |
//! | 3 | query of awareness | both | |
//! | 4 | sync reply | servers | as sync |
//! | 5 | stateless | both | payload |
//! | 6 | broadcast stateless | servers | payload |
//! | 7 | close | client, server | nothing, reason |
//! | 8 | sync status | server | 1 or 0 |

use hub::Frame;

use crate::lib0::{Lib0Reader, Lib0Write, var_uint_bytes};
use crate::websocket::FrameBuilder;
use crate::yjs::{SyncMessage, YjsError};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
const SYNC_REPLY: u64 = 4;
const STATELESS: u64 = 5;
const BROADCAST_STATELESS: u64 = 6;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;

/// Types of auth messages.
const TOKEN: u64 = 0;
const PERMISSION_DENIED: u64 = 1;
const AUTHENTICATED: u64 = 2;

/// A message about a document, of a client or for one. Contents are not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HocuspocusMessage<'a> {
    /// A step of the synchronisation, or an update.
    Sync(SyncMessage<'a>),
    /// The same, except that a step 1 is not answered by another step 1. Servers send it to each other.
    SyncReply(SyncMessage<'a>),
    /// An [`AwarenessUpdate`](crate::yjs::AwarenessUpdate).
    Awareness(&'a [u8]),
    /// Requests the awareness of all clients.
    QueryAwareness,
    /// A client's token: the first of a document, or a new one.
    Token {
        /// What the application has given to the client, possibly nothing.
        token: &'a str,
        /// The version of the client, from 4 on.
        version: Option<&'a str>,
    },
    /// Requests a token. Clients of Hocuspocus 2 ignore it.
    TokenRequest,
    /// The reason why the document is not available to the client.
    PermissionDenied(&'a str),
    /// The document is available to the client.
    Authenticated(Scope),
    /// A message between the application's clients, or with its server.
    Stateless(&'a str),
    /// Requests that a stateless message is sent to all clients. Not for clients to send.
    BroadcastStateless(&'a str),
    /// The client leaves the document, or the server closes it, with a reason. Clients of Hocuspocus 2 throw an exception
    /// when they receive it.
    Close(Option<&'a str>),
    /// Answers a step 2 or an update.
    SyncStatus(Applied),
}

/// What a client may do with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It may change it.
    ReadWrite,
    /// Its changes are refused.
    Readonly,
}

/// Whether changes have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The client counts one unsynchronised change less.
    Yes,
    /// The client goes on counting them.
    No,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read-write",
            Self::Readonly => "readonly",
        }
    }

    fn parse(text: &str) -> Result<Self, YjsError> {
        let known = [Self::ReadWrite, Self::Readonly].into_iter();
        known.into_iter().find(|scope| scope.as_str() == text).ok_or(YjsError::Scope)
    }
}

impl<'a> HocuspocusMessage<'a> {
    /// Reads what follows the name, to the end of the frame.
    pub(super) fn read(mut reader: Lib0Reader<'a>) -> Result<Self, YjsError> {
        let message = match reader.var_uint()? {
            SYNC => Self::Sync(SyncMessage::read(&mut reader)?),
            SYNC_REPLY => Self::SyncReply(SyncMessage::read(&mut reader)?),
            AWARENESS => Self::Awareness(reader.var_bytes()?),
            AUTH => Self::read_auth(&mut reader)?,
            QUERY_AWARENESS => Self::QueryAwareness,
            STATELESS => Self::Stateless(reader.var_string()?),
            BROADCAST_STATELESS => Self::BroadcastStateless(reader.var_string()?),
            CLOSE => Self::Close(optional_string(&mut reader)?),
            SYNC_STATUS => Self::SyncStatus(match reader.var_uint()? {
                0 => Applied::No,
                1 => Applied::Yes,
                _ => return Err(YjsError::SyncStatus),
            }),
            other => return Err(YjsError::MessageType(other)),
        };
        reader.end()?;
        Ok(message)
    }

    fn read_auth(reader: &mut Lib0Reader<'a>) -> Result<Self, YjsError> {
        match reader.var_uint()? {
            TOKEN => Ok(match optional_string(reader)? {
                Some(token) => Self::Token { token, version: optional_string(reader)? },
                None => Self::TokenRequest,
            }),
            PERMISSION_DENIED => Ok(Self::PermissionDenied(reader.var_string()?)),
            AUTHENTICATED => Ok(Self::Authenticated(Scope::parse(reader.var_string()?)?)),
            other => Err(YjsError::AuthType(other)),
        }
    }

    /// The frame with this message. `key` is the whole [`RoutingKey`](super::RoutingKey).
    pub fn encode(self, key: &str) -> Frame {
        let (numbers, content) = self.parts();
        let mut frame = FrameBuilder::binary(string_bytes(key) + numbers.len() + content.bytes());
        frame.var_string(key);
        numbers.iter().for_each(|&number| frame.var_uint(number));
        content.write(&mut frame);
        frame.finish()
    }

    /// The numbers after the name, and the content.
    fn parts(self) -> (&'static [u64], Content<'a>) {
        let text = |text: &'a str| Content::Texts(text, None);
        match self {
            Self::Sync(message) => (&[SYNC], Content::Sync(message)),
            Self::SyncReply(message) => (&[SYNC_REPLY], Content::Sync(message)),
            Self::Awareness(update) => (&[AWARENESS], Content::Bytes(update)),
            Self::QueryAwareness => (&[QUERY_AWARENESS], Content::Nothing),
            Self::Token { token, version } => (&[AUTH, TOKEN], Content::Texts(token, version)),
            Self::TokenRequest => (&[AUTH, TOKEN], Content::Nothing),
            Self::PermissionDenied(reason) => (&[AUTH, PERMISSION_DENIED], text(reason)),
            Self::Authenticated(scope) => (&[AUTH, AUTHENTICATED], text(scope.as_str())),
            Self::Stateless(payload) => (&[STATELESS], text(payload)),
            Self::BroadcastStateless(payload) => (&[BROADCAST_STATELESS], text(payload)),
            Self::Close(reason) => (&[CLOSE], reason.map_or(Content::Nothing, text)),
            Self::SyncStatus(Applied::Yes) => (&[SYNC_STATUS, 1], Content::Nothing),
            Self::SyncStatus(Applied::No) => (&[SYNC_STATUS, 0], Content::Nothing),
        }
    }
}

/// What follows the numbers of a message.
#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Nothing,
    Sync(SyncMessage<'a>),
    Bytes(&'a [u8]),
    Texts(&'a str, Option<&'a str>),
}

impl Content<'_> {
    fn write(self, frame: &mut FrameBuilder) {
        match self {
            Self::Nothing => {}
            Self::Sync(message) => message.write(frame),
            Self::Bytes(bytes) => frame.var_bytes(bytes),
            Self::Texts(first, second) => {
                frame.var_string(first);
                second.into_iter().for_each(|second| frame.var_string(second));
            }
        }
    }

    /// How many bytes [`write`](Self::write) appends.
    fn bytes(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Sync(message) => message.bytes(),
            Self::Bytes(bytes) => var_uint_bytes(bytes.len() as u64) + bytes.len(),
            Self::Texts(first, second) => string_bytes(first) + second.map_or(0, string_bytes),
        }
    }
}

fn string_bytes(text: &str) -> usize {
    var_uint_bytes(text.len() as u64) + text.len()
}

/// A text, unless nothing follows.
fn optional_string<'a>(reader: &mut Lib0Reader<'a>) -> Result<Option<&'a str>, YjsError> {
    if reader.is_empty() { Ok(None) } else { Ok(Some(reader.var_string()?)) }
}
