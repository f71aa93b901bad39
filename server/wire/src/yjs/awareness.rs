//! Awareness: what the clients of a document say about themselves, such as names and cursors.
//!
//! `count · (client · clock · state) …`. The state is JSON as text, `null` when the client leaves. It is checked because
//! other clients parse it, and one that cannot throws away the frame with an exception. A clock only rises; a state with
//! a lower clock is old.

use super::YjsError;
use super::fields::{clock, json};
use crate::lib0::{Lib0Reader, Lib0Write};

/// The least bytes of an entry.
const ENTRY_BYTES_MIN: usize = 3;

/// What a state is when the client has left.
const NULL: &str = "null";

/// The state of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwarenessEntry<'a> {
    /// The client's id, which it draws for each document.
    pub client: u64,
    /// How often the client has changed or renewed its state.
    pub clock: u32,
    /// Valid JSON text of any type.
    pub state: &'a str,
}

impl AwarenessEntry<'_> {
    /// The entry that removes the state of a client.
    pub fn removal(client: u64, clock: u32) -> Self {
        Self { client, clock, state: NULL }
    }

    /// Whether the client has left.
    pub fn is_removal(&self) -> bool {
        self.state.trim_ascii() == NULL
    }
}

/// An awareness update that has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwarenessUpdate<'a> {
    bytes: &'a [u8],
    count: usize,
    entries: &'a [u8],
}

impl<'a> AwarenessUpdate<'a> {
    /// An update about no client. A client whose connection is quiet takes it as a sign that the server is there.
    pub const EMPTY: AwarenessUpdate<'static> = AwarenessUpdate { bytes: &[0], count: 0, entries: &[] };

    /// Reads the content of an awareness message.
    ///
    /// # Errors
    /// When it is not an awareness update.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, YjsError> {
        let mut reader = Lib0Reader::new(bytes);
        let count = reader.count(ENTRY_BYTES_MIN)?;
        let entries = reader.rest();
        for _ in 0..count {
            let (_client, _clock) = (reader.var_uint()?, clock(&mut reader)?);
            json(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { bytes, count, entries })
    }

    /// Encodes the states of clients.
    pub fn encode<'e, I>(entries: I) -> Vec<u8>
    where
        I: IntoIterator<Item = AwarenessEntry<'e>, IntoIter: ExactSizeIterator>,
    {
        let entries = entries.into_iter();
        let mut bytes = Vec::new();
        bytes.var_uint(entries.len() as u64);
        for entry in entries {
            bytes.var_uint(entry.client);
            bytes.var_uint(entry.clock.into());
            bytes.var_string(entry.state);
        }
        bytes
    }

    /// The encoded update.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it is about no client.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries, as sent. A client may occur twice.
    pub fn entries(&self) -> impl Iterator<Item = AwarenessEntry<'a>> + use<'a> {
        let mut reader = Lib0Reader::new(self.entries);
        // `decode` has read them: none is missing.
        (0..self.count).map_while(move |_| entry(&mut reader).ok())
    }
}

/// An entry whose state is known to be JSON.
fn entry<'a>(reader: &mut Lib0Reader<'a>) -> Result<AwarenessEntry<'a>, YjsError> {
    Ok(AwarenessEntry { client: reader.var_uint()?, clock: clock(reader)?, state: reader.var_string()? })
}
