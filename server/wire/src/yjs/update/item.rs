//! Items: a content, and where it was inserted.
//!
//! The first byte has the type of the content in its lower 5 bits, and flags for what follows: the item to the left at the
//! time of the insertion (`origin`), the one to the right, and with neither of them the parent, which is a shared type of
//! the document by its name, or the item that contains a shared type. An item of a map has its key.

use super::YjsError;
use super::content::{self, ItemContent};
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

/// An item that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) place: Position,
    pub(super) content: ItemContent,
}

/// Where an item was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// In a shared type of the document that has a name.
    Named,
    /// In the shared type that an item contains.
    Within(Id),
    /// Between two items, in the type of the left one, or if that was collected, of the right one. One of them may be missing.
    Beside(Option<Id>, Option<Id>),
}

/// Reads an item after its first byte.
pub(super) fn read(reader: &mut Lib0Reader<'_>, info: u8, id: Id) -> Result<Item, YjsError> {
    let place = place(reader, info, id)?;
    let content = content::read(reader, info & CONTENT)?;
    Ok(Item { place, content })
}

fn place(reader: &mut Lib0Reader<'_>, info: u8, id: Id) -> Result<Position, YjsError> {
    let origin = (info & HAS_ORIGIN != 0).then(|| reference(reader, id)).transpose()?;
    let right_origin = (info & HAS_RIGHT_ORIGIN != 0).then(|| reference(reader, id)).transpose()?;
    if origin.is_some() || right_origin.is_some() {
        return Ok(Position::Beside(origin, right_origin));
    }
    let place = match reader.var_uint()? {
        ITEM => Position::Within(reference(reader, id)?),
        NAME => {
            reader.var_string()?;
            Position::Named
        }
        _ => return Err(YjsError::Parent),
    };
    if info & HAS_KEY != 0 {
        reader.var_string()?;
    }
    Ok(place)
}

/// Reads the id of another item. One of the same client precedes: clients rely on it without a check, and fail to apply
/// anything else.
fn reference(reader: &mut Lib0Reader<'_>, id: Id) -> Result<Id, YjsError> {
    let other = Id { client: reader.var_uint()?, clock: clock(reader)? };
    let precedes = other.client != id.client || other.clock < id.clock;
    if precedes { Ok(other) } else { Err(YjsError::LaterItem) }
}
