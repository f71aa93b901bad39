//! Items: a content, and where it was inserted.
//!
//! The first byte has the type of the content in its lower 5 bits, and flags for what follows: the item to the left at the
//! time of the insertion (`origin`), the one to the right, and with neither of them the parent, which is a shared type of
//! the document by its name, or the item that contains a shared type. An item of a map has its key.

use super::content;
use super::{Nested, YjsError};
use crate::lib0::Lib0Reader;
use crate::yjs::fields::clock;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_KEY: u8 = 0x20;
const CONTENT: u8 = 0x1f;

/// Parents that follow.
const ITEM: u64 = 0;
const NAME: u64 = 1;

/// The first character or value of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    /// The client that has made it.
    pub(super) client: u64,
    /// Its place among what the client has made.
    pub(super) clock: u32,
}

/// Reads an item after its first byte. The result is its length.
pub(super) fn read(
    reader: &mut Lib0Reader<'_>,
    info: u8,
    id: Id,
    nested: &mut Nested,
) -> Result<u32, YjsError> {
    if info & HAS_ORIGIN != 0 {
        reference(reader, id)?;
    }
    if info & HAS_RIGHT_ORIGIN != 0 {
        reference(reader, id)?;
    }
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
        match reader.var_uint()? {
            ITEM => reference(reader, id)?,
            NAME => _ = reader.var_string()?,
            _ => return Err(YjsError::Parent),
        }
        if info & HAS_KEY != 0 {
            reader.var_string()?;
        }
    }
    content::read(reader, info & CONTENT, nested)
}

/// Reads the id of another item. One of the same client precedes: clients rely on it without a check, and fail to apply
/// anything else.
fn reference(reader: &mut Lib0Reader<'_>, id: Id) -> Result<(), YjsError> {
    let other = Id { client: reader.var_uint()?, clock: clock(reader)? };
    let precedes = other.client != id.client || other.clock < id.clock;
    if precedes { Ok(()) } else { Err(YjsError::LaterItem) }
}
