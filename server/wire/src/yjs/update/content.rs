//! The contents of items.
//!
//! | type | content | length |
//! |---|---|---|
//! | 1 | deleted: a length | as stated |
//! | 2 | values of Yjs up to version 12 | refused |
//! | 3 | binary: bytes | 1 |
//! | 4 | string: text | its UTF-16 code units |
//! | 5 | embed: JSON | 1 |
//! | 6 | format: key · JSON | 1 |
//! | 7 | shared type: type · the name, if it is an XML element | 1 |
//! | 8 | values (see `any`): count · value … | the count |
//! | 9 | document: id · value | 1 |
//!
//! Strings and values without a length were once written by mistake; yrs leaves them out.

use super::YjsError;
use super::any;
use crate::lib0::Lib0Reader;
use crate::yjs::fields::{clock, json};

const DELETED: u8 = 1;
const LEGACY: u8 = 2;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const SHARED_TYPE: u8 = 7;
const VALUES: u8 = 8;
const DOCUMENT: u8 = 9;

const ARRAY: u8 = 0;
const MAP: u8 = 1;
const TEXT: u8 = 2;
const XML_ELEMENT: u8 = 3;
const XML_FRAGMENT: u8 = 4;
const XML_TEXT: u8 = 6;

/// What an item contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ItemContent {
    /// The clocks that it takes.
    pub(super) length: u32,
    pub(super) kind: ContentKind,
}

/// What has a structure of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentKind {
    Value,
    SharedType,
    Subdocument,
}

/// Reads a content.
pub(super) fn read(reader: &mut Lib0Reader<'_>, content: u8) -> Result<ItemContent, YjsError> {
    let value = |length| ItemContent { length, kind: ContentKind::Value };
    match content {
        DELETED => return clock(reader).map(value),
        STRING => return utf16_length(reader.var_string()?).map(value),
        VALUES => return values(reader).map(value),
        BINARY => _ = reader.var_bytes()?,
        EMBED => _ = json(reader)?,
        FORMAT => {
            reader.var_string()?;
            json(reader)?;
        }
        SHARED_TYPE => {
            shared_type(reader)?;
            return Ok(ItemContent { length: 1, kind: ContentKind::SharedType });
        }
        DOCUMENT => {
            reader.var_string()?;
            any::read(reader)?;
            return Ok(ItemContent { length: 1, kind: ContentKind::Subdocument });
        }
        LEGACY => return Err(YjsError::LegacyContent),
        other => return Err(YjsError::StructType(other)),
    }
    Ok(value(1))
}

/// Clients count as JavaScript does: a character beyond the first plane, four bytes here, has two code units.
fn utf16_length(text: &str) -> Result<u32, YjsError> {
    let characters = text.bytes().filter(|byte| byte & 0xc0 != 0x80).count();
    let pairs = text.bytes().filter(|&byte| byte >= 0xf0).count();
    u32::try_from(characters + pairs).map_err(|_too_long| YjsError::Clock)
}

fn values(reader: &mut Lib0Reader<'_>) -> Result<u32, YjsError> {
    let count = reader.count(1)?;
    for _ in 0..count {
        any::read(reader)?;
    }
    u32::try_from(count).map_err(|_too_many| YjsError::Clock)
}

fn shared_type(reader: &mut Lib0Reader<'_>) -> Result<(), YjsError> {
    match reader.byte()? {
        ARRAY | MAP | TEXT | XML_FRAGMENT | XML_TEXT => Ok(()),
        XML_ELEMENT => Ok(_ = reader.var_string()?),
        other => Err(YjsError::SharedType(other)),
    }
}
