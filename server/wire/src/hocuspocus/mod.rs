//! The protocol of Hocuspocus 2, 3 and 4: many documents on one connection.
//!
//! A frame is `name · type · content` (see [`HocuspocusMessage`]), except for [`ping`] and [`pong`], which are one byte.
//! The name is that of a document, possibly with a session (see [`RoutingKey`]).
//!
//! Sources: `@hocuspocus/provider` 2.15.3, 3.4.4 and 4.8.0, `@hocuspocus/server` 2.15.3, 3.4.4 and 4.7.0,
//! `@hocuspocus/common` (`auth.ts`, `routingKey.ts`).

mod message;
mod routing_key;

use hub::Frame;

use crate::lib0::Lib0Reader;
use crate::websocket::FrameBuilder;
use crate::yjs::YjsError;

pub use message::{Applied, HocuspocusMessage, Scope};
pub use routing_key::RoutingKey;

const PING: &[u8] = &[9];
const PONG: &[u8] = &[10];

/// What a binary frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HocuspocusFrame<'a> {
    /// Asks a client for a [`Pong`](Self::Pong).
    Ping,
    /// The answer of a client.
    Pong,
    /// A message about a document.
    Document {
        /// The document, which the answer names in the same way.
        key: RoutingKey<'a>,
        /// The message, or why it cannot be read.
        message: Result<HocuspocusMessage<'a>, YjsError>,
    },
}

/// Reads a binary frame.
///
/// # Errors
/// When it names no document. An answer, if any, concerns the connection as a whole.
pub fn decode(frame: &[u8]) -> Result<HocuspocusFrame<'_>, YjsError> {
    match frame {
        PING => Ok(HocuspocusFrame::Ping),
        PONG => Ok(HocuspocusFrame::Pong),
        _ => {
            let mut reader = Lib0Reader::new(frame);
            let key = RoutingKey::parse(reader.var_string()?)?;
            Ok(HocuspocusFrame::Document { key, message: HocuspocusMessage::read(reader) })
        }
    }
}

/// Asks a client for a [`pong`]. Only clients of Hocuspocus 4 answer; older ones throw an exception.
pub fn ping() -> Frame {
    frame(PING)
}

/// The answer to a [`ping`], as clients send it.
pub fn pong() -> Frame {
    frame(PONG)
}

fn frame(payload: &[u8]) -> Frame {
    let mut frame = FrameBuilder::binary(payload.len());
    frame.push_bytes(payload);
    frame.finish()
}
