//! The structs of each client: collected, skipped, or items.

use super::item::{self, Id, Item};
use super::{YjsError, are_distinct};
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
pub struct ClientSection<'a> {
    /// The client that has made the changes.
    pub client: u64,
    /// The first clock.
    pub clock: u32,
    /// The clock after the last one, which is greater. Parts between may be skipped.
    pub end: u32,
    /// The structs, at least one.
    pub structs: usize,
    /// The structs as they are encoded.
    pub body: &'a [u8],
}

/// A part of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Struct {
    pub(super) id: Id,
    pub(super) length: u32,
    pub(super) kind: StructKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StructKind {
    /// Deleted items, of which nothing is left but that they were there.
    Collected,
    /// Clocks of which the update has nothing.
    Skipped,
    Item(Item),
}

/// Reads the sections, each client once. `visit` sees each struct.
pub(super) fn read<'a>(
    reader: &mut Lib0Reader<'a>,
    mut visit: impl FnMut(&Struct),
) -> Result<Vec<ClientSection<'a>>, YjsError> {
    let count = reader.count(SECTION_BYTES_MIN)?;
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        sections.push(section(reader, &mut visit)?);
    }
    if are_distinct(sections.iter().map(|section| section.client).collect()) {
        Ok(sections)
    } else {
        Err(YjsError::RepeatedClient)
    }
}

fn section<'a>(
    reader: &mut Lib0Reader<'a>,
    visit: &mut impl FnMut(&Struct),
) -> Result<ClientSection<'a>, YjsError> {
    let structs = reader.var_uint()?;
    let (client, clock) = (reader.var_uint()?, clock(reader)?);
    let structs = usize::try_from(structs).ok().filter(|&count| count <= reader.len() / STRUCT_BYTES_MIN);
    let structs = structs.ok_or(Lib0Error::Truncated)?;
    let (mut end, mut body) = (clock, *reader);
    for _ in 0..structs {
        let next = any_struct(reader, Id { client, clock: end })?;
        end = advance(end, next.length)?;
        visit(&next);
    }
    // yrs panics when nothing is left of a section without the structs that have no length, and calls itself once for each
    // section without structs.
    if end == clock {
        return Err(YjsError::EmptySection);
    }
    let body = body.bytes(body.len() - reader.len())?;
    Ok(ClientSection { client, clock, end, structs, body })
}

fn any_struct(reader: &mut Lib0Reader<'_>, id: Id) -> Result<Struct, YjsError> {
    let (length, kind) = match reader.byte()? {
        COLLECTED => (length(reader)?, StructKind::Collected),
        SKIPPED => (length(reader)?, StructKind::Skipped),
        info => {
            let item = item::read(reader, info, id)?;
            (item.content.length, StructKind::Item(item))
        }
    };
    Ok(Struct { id, length, kind })
}

/// The length of what has no content.
fn length(reader: &mut Lib0Reader<'_>) -> Result<u32, YjsError> {
    match clock(reader)? {
        0 => Err(YjsError::EmptyStruct),
        length => Ok(length),
    }
}
