//! The structs of each client: collected, skipped, or items.

use super::item::{self, Id};
use super::{Nested, YjsError, are_distinct};
use crate::lib0::{Lib0Error, Lib0Reader};
use crate::yjs::fields::{advance, clock};

/// The least bytes of a section: its count, client, clock and one struct.
const SECTION_BYTES_MIN: usize = 3 + STRUCT_BYTES_MIN;

/// The least bytes of a struct: its type and its length.
const STRUCT_BYTES_MIN: usize = 2;

const COLLECTED: u8 = 0;
const SKIPPED: u8 = 10;

/// What an update has of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSection {
    /// The client that has made the changes.
    pub client: u64,
    /// The first clock.
    pub clock: u32,
    /// The clock after the last one, which is greater. Parts between may be skipped.
    pub end: u32,
    /// The structs, at least one.
    pub structs: usize,
}

/// Reads the sections, each client once. Adds to `nested`.
pub(super) fn read(reader: &mut Lib0Reader<'_>, nested: &mut Nested) -> Result<Vec<ClientSection>, YjsError> {
    let count = reader.count(SECTION_BYTES_MIN)?;
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        sections.push(section(reader, nested)?);
    }
    if are_distinct(sections.iter().map(|section| section.client).collect()) {
        Ok(sections)
    } else {
        Err(YjsError::RepeatedClient)
    }
}

fn section(reader: &mut Lib0Reader<'_>, nested: &mut Nested) -> Result<ClientSection, YjsError> {
    let structs = reader.var_uint()?;
    let (client, clock) = (reader.var_uint()?, clock(reader)?);
    let structs = usize::try_from(structs).ok().filter(|&count| count <= reader.len() / STRUCT_BYTES_MIN);
    let structs = structs.ok_or(Lib0Error::Truncated)?;
    let mut end = clock;
    for _ in 0..structs {
        let id = Id { client, clock: end };
        end = advance(end, any_struct(reader, id, nested)?)?;
    }
    // yrs panics when nothing is left of a section without the structs that have no length, and calls itself once for each
    // section without structs.
    if end == clock { Err(YjsError::EmptySection) } else { Ok(ClientSection { client, clock, end, structs }) }
}

/// Reads a struct. The result is its length.
fn any_struct(reader: &mut Lib0Reader<'_>, id: Id, nested: &mut Nested) -> Result<u32, YjsError> {
    match reader.byte()? {
        COLLECTED | SKIPPED => match clock(reader)? {
            0 => Err(YjsError::EmptyStruct),
            length => Ok(length),
        },
        info => item::read(reader, info, id, nested),
    }
}
