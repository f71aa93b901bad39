//! What is deleted: ranges of clocks for each client.

use super::{YjsError, are_distinct};
use crate::lib0::Lib0Reader;
use crate::yjs::fields::{advance, clock};

/// The least bytes of a client and of a range: two numbers.
const ENTRY_BYTES_MIN: usize = 2;

/// A range of deleted characters or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedRange {
    /// The client that had made them.
    pub client: u64,
    /// The first clock.
    pub clock: u32,
    /// How many follow each other.
    pub length: u32,
}

/// The deletions of an update, which have been read to their end; iterates over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deletions<'a> {
    /// What follows the current range.
    reader: Lib0Reader<'a>,
    client: u64,
    /// Ranges of this client that follow.
    client_ranges: usize,
    /// Ranges of all clients that follow.
    ranges: usize,
}

impl<'a> Deletions<'a> {
    /// Reads to the end. The ranges of a client must be in order, which yrs presumes when it searches and merges them; a
    /// client must not occur twice, because yrs would apply the last ranges only.
    pub(super) fn read(reader: &mut Lib0Reader<'a>) -> Result<Self, YjsError> {
        let clients = reader.count(ENTRY_BYTES_MIN)?;
        let start = *reader;
        let mut ids = Vec::with_capacity(clients);
        let mut ranges = 0;
        for _ in 0..clients {
            ids.push(reader.var_uint()?);
            ranges += client_ranges(reader)?;
        }
        if are_distinct(ids) {
            Ok(Self { reader: start, client: 0, client_ranges: 0, ranges })
        } else {
            Err(YjsError::RepeatedClient)
        }
    }

    /// How many ranges follow.
    pub(super) fn ranges(&self) -> usize {
        self.ranges
    }

    fn read_next(&mut self) -> Result<DeletedRange, YjsError> {
        while self.client_ranges == 0 {
            self.client = self.reader.var_uint()?;
            self.client_ranges = self.reader.count(ENTRY_BYTES_MIN)?;
        }
        self.client_ranges -= 1;
        self.ranges -= 1;
        Ok(DeletedRange {
            client: self.client,
            clock: clock(&mut self.reader)?,
            length: clock(&mut self.reader)?,
        })
    }
}

impl Iterator for Deletions<'_> {
    type Item = DeletedRange;

    fn next(&mut self) -> Option<DeletedRange> {
        if self.ranges == 0 {
            return None;
        }
        // They have been read before: none is missing.
        self.read_next().ok()
    }
}

/// Reads the ranges of a client. The result is their number.
fn client_ranges(reader: &mut Lib0Reader<'_>) -> Result<usize, YjsError> {
    let count = reader.count(ENTRY_BYTES_MIN)?;
    let mut end = 0;
    for _ in 0..count {
        let start = clock(reader)?;
        if start < end {
            return Err(YjsError::DeletedRanges);
        }
        end = advance(start, clock(reader)?)?;
    }
    Ok(count)
}
