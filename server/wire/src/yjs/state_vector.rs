//! How much of each client's part of a document is known: its next clock.
//!
//! `count · (client · clock) …`, in any order.

use super::YjsError;
use super::fields::clock;
use crate::lib0::{Lib0Reader, Lib0Write};

/// The least bytes of an entry.
const ENTRY_BYTES_MIN: usize = 2;

/// A state vector that has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateVector<'a> {
    bytes: &'a [u8],
    count: usize,
    entries: &'a [u8],
}

impl<'a> StateVector<'a> {
    /// The state of an empty document.
    pub const EMPTY: StateVector<'static> = StateVector { bytes: &[0], count: 0, entries: &[] };

    /// Reads the content of a step 1.
    ///
    /// # Errors
    /// When it is not a state vector.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, YjsError> {
        let mut reader = Lib0Reader::new(bytes);
        let count = reader.count(ENTRY_BYTES_MIN)?;
        let entries = reader.rest();
        for _ in 0..count {
            entry(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { bytes, count, entries })
    }

    /// Encodes clients with their clocks.
    pub fn encode<I>(entries: I) -> Vec<u8>
    where
        I: IntoIterator<Item = (u64, u32), IntoIter: ExactSizeIterator>,
    {
        let entries = entries.into_iter();
        let mut bytes = Vec::with_capacity(1 + 8 * entries.len());
        bytes.var_uint(entries.len() as u64);
        for (client, clock) in entries {
            bytes.var_uint(client);
            bytes.var_uint(clock.into());
        }
        bytes
    }

    /// The encoded state vector.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many clients it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it is that of an empty document.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The clients with their clocks, as sent. Of a client that occurs twice, the last one counts.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u32)> + use<'a> {
        let mut reader = Lib0Reader::new(self.entries);
        // `decode` has read them: none is missing.
        (0..self.count).map_while(move |_| entry(&mut reader).ok())
    }
}

fn entry(reader: &mut Lib0Reader<'_>) -> Result<(u64, u32), YjsError> {
    Ok((reader.var_uint()?, clock(reader)?))
}
