//! The fields that several messages have: clocks, and JSON as text.

use super::YjsError;
use crate::lib0::Lib0Reader;
use crate::raw_json;

/// The greatest clock of a client, in documents and in awareness. yrs subtracts clocks as signed numbers of 32 bits. A
/// document counts characters with it: no client gets there by typing.
pub const CLOCK_MAX: u32 = i32::MAX as u32;

pub(super) fn clock(reader: &mut Lib0Reader<'_>) -> Result<u32, YjsError> {
    u32::try_from(reader.var_uint()?).ok().filter(|&clock| clock <= CLOCK_MAX).ok_or(YjsError::Clock)
}

/// The clock `length` after `clock`.
pub(super) fn advance(clock: u32, length: u32) -> Result<u32, YjsError> {
    clock.checked_add(length).filter(|&end| end <= CLOCK_MAX).ok_or(YjsError::Clock)
}

/// A text that clients parse as JSON. It stays text: a number or half a surrogate pair that only JavaScript can represent
/// passes.
pub(super) fn json<'a>(reader: &mut Lib0Reader<'a>) -> Result<&'a str, YjsError> {
    let text = reader.var_string()?;
    if raw_json::is_valid(text) { Ok(text) } else { Err(YjsError::NotJson) }
}
