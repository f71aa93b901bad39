//! The protocol of y-websocket: one document for each connection, whose name is in the address.
//!
//! `type · content`. y-sweet's clients speak it too, and add type 102: they send it after each update and when the
//! connection is quiet, and expect it back as it is.
//!
//! | type | message | content |
//! |---|---|---|
//! | 0 | sync | its type · `var_bytes` |
//! | 1 | awareness | `var_bytes` |
//! | 2 | permission denied | 0 · reason |
//! | 3 | query of awareness | |
//! | 102 | sync status | `var_bytes` |
//!
//! A frame of a client may have several messages, all of which are read. Each message that is sent has a frame of its own:
//! y-websocket 3 and y-sweet read only the first one of a frame.
//!
//! Sources: y-websocket 3.1.0 and its server 0.1.5, y-protocols 1.0.7 (`auth.js`), `@y-sweet/client` 0.9.1.

use hub::Frame;

use crate::lib0::{Lib0Reader, Lib0Write, var_uint_bytes};
use crate::websocket::FrameBuilder;
use crate::yjs::{SyncMessage, YjsError};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
const SYNC_STATUS: u64 = 102;

/// The only type of auth message.
const PERMISSION_DENIED: u64 = 0;

/// A message, of a client or for one. Contents are not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YWebsocketMessage<'a> {
    /// A step of the synchronisation, or an update.
    Sync(SyncMessage<'a>),
    /// An [`AwarenessUpdate`](crate::yjs::AwarenessUpdate).
    Awareness(&'a [u8]),
    /// The reason why the document is not available to the client, which prints it and goes on.
    PermissionDenied(&'a str),
    /// Requests the awareness of all clients. y-websocket sends it between the tabs of a browser only.
    QueryAwareness,
    /// What y-sweet's clients expect back.
    SyncStatus(&'a [u8]),
}

impl<'a> YWebsocketMessage<'a> {
    /// The frame with this message.
    pub fn encode(self) -> Frame {
        let mut frame = FrameBuilder::binary(self.bytes());
        match self {
            Self::Sync(message) => {
                frame.var_uint(SYNC);
                message.write(&mut frame);
            }
            Self::Awareness(update) => {
                frame.var_uint(AWARENESS);
                frame.var_bytes(update);
            }
            Self::PermissionDenied(reason) => {
                frame.var_uint(AUTH);
                frame.var_uint(PERMISSION_DENIED);
                frame.var_string(reason);
            }
            Self::QueryAwareness => frame.var_uint(QUERY_AWARENESS),
            Self::SyncStatus(payload) => {
                frame.var_uint(SYNC_STATUS);
                frame.var_bytes(payload);
            }
        }
        frame.finish()
    }

    /// How many bytes it takes, or one more.
    fn bytes(self) -> usize {
        let after_length = |length: usize| var_uint_bytes(length as u64) + length;
        2 + match self {
            Self::Sync(message) => message.bytes(),
            Self::Awareness(content) | Self::SyncStatus(content) => after_length(content.len()),
            Self::PermissionDenied(reason) => after_length(reason.len()),
            Self::QueryAwareness => 0,
        }
    }

    fn read(reader: &mut Lib0Reader<'a>) -> Result<Self, YjsError> {
        match reader.var_uint()? {
            SYNC => Ok(Self::Sync(SyncMessage::read(reader)?)),
            AWARENESS => Ok(Self::Awareness(reader.var_bytes()?)),
            AUTH => match reader.var_uint()? {
                PERMISSION_DENIED => Ok(Self::PermissionDenied(reader.var_string()?)),
                other => Err(YjsError::AuthType(other)),
            },
            QUERY_AWARENESS => Ok(Self::QueryAwareness),
            SYNC_STATUS => Ok(Self::SyncStatus(reader.var_bytes()?)),
            other => Err(YjsError::MessageType(other)),
        }
    }
}

/// The messages of a frame. Nothing follows an error.
#[derive(Debug, Clone)]
pub struct YWebsocketMessages<'a>(Option<Lib0Reader<'a>>);

/// Reads a binary frame: at least one message.
pub fn messages(frame: &[u8]) -> YWebsocketMessages<'_> {
    YWebsocketMessages(Some(Lib0Reader::new(frame)))
}

impl<'a> Iterator for YWebsocketMessages<'a> {
    type Item = Result<YWebsocketMessage<'a>, YjsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.0.take()?;
        let message = YWebsocketMessage::read(&mut reader);
        self.0 = Some(reader).filter(|rest| message.is_ok() && !rest.is_empty());
        Some(message)
    }
}
