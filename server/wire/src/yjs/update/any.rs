//! Values: what JavaScript has, in binary.
//!
//! | type | value |
//! |---|---|
//! | 127, 126, 121, 120 | undefined, null, false, true |
//! | 125 | `var_int` |
//! | 124, 123, 122 | float of 4 bytes, float of 8 bytes, integer of 8 bytes |
//! | 119 | text |
//! | 118 | object: count · (key · value) … |
//! | 117 | array: count · value … |
//! | 116 | bytes |

use super::YjsError;
use crate::lib0::Lib0Reader;

/// How many arrays and objects may be within each other: as many as serde_json allows. yrs reads, writes and drops them by
/// recursion, and the stack of a thread ends.
pub const ANY_DEPTH_MAX: usize = 128;

/// Reads a value.
pub(super) fn read(reader: &mut Lib0Reader<'_>) -> Result<(), YjsError> {
    read_within(reader, ANY_DEPTH_MAX)
}

/// Reads a value in which `depth` arrays and objects may be within each other.
fn read_within(reader: &mut Lib0Reader<'_>, depth: usize) -> Result<(), YjsError> {
    match reader.byte()? {
        120 | 121 | 126 | 127 => {}
        125 => _ = reader.var_int()?,
        124 => _ = reader.bytes(4)?,
        122 | 123 => _ = reader.bytes(8)?,
        119 => _ = reader.var_string()?,
        118 => {
            let depth = depth.checked_sub(1).ok_or(YjsError::Depth)?;
            for _ in 0..reader.count(2)? {
                reader.var_string()?;
                read_within(reader, depth)?;
            }
        }
        117 => {
            let depth = depth.checked_sub(1).ok_or(YjsError::Depth)?;
            for _ in 0..reader.count(1)? {
                read_within(reader, depth)?;
            }
        }
        116 => _ = reader.var_bytes()?,
        other => return Err(YjsError::ValueType(other)),
    }
    Ok(())
}
