//! What appends fields to a buffer: a vector, or a frame that is being built.

use super::NUMBER_MAX;
use crate::websocket::FrameBuilder;

/// A buffer to which fields are appended.
pub trait Lib0Write {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Appends a number, which is at most [`NUMBER_MAX`].
    fn var_uint(&mut self, mut number: u64) {
        debug_assert!(number <= NUMBER_MAX, "a number of 54 bits or more");
        while number > 0x7f {
            self.put(&[number as u8 | 0x80]);
            number >>= 7;
        }
        self.put(&[number as u8]);
    }

    /// Appends a number with its sign.
    fn var_int(&mut self, number: i64) {
        let sign = if number < 0 { 0x40 } else { 0 };
        let magnitude = number.unsigned_abs();
        let low = (magnitude & 0x3f) as u8 | sign;
        if magnitude <= 0x3f {
            self.put(&[low]);
        } else {
            self.put(&[low | 0x80]);
            self.var_uint(magnitude >> 6);
        }
    }

    /// Appends bytes after their length.
    fn var_bytes(&mut self, bytes: &[u8]) {
        self.var_uint(bytes.len() as u64);
        self.put(bytes);
    }

    /// Appends text after its length.
    fn var_string(&mut self, text: &str) {
        self.var_bytes(text.as_bytes());
    }
}

impl Lib0Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Lib0Write for FrameBuilder {
    fn put(&mut self, bytes: &[u8]) {
        self.push_bytes(bytes);
    }
}

/// How many bytes a number takes.
pub(crate) fn var_uint_bytes(number: u64) -> usize {
    let bits = u64::BITS - number.max(1).leading_zeros();
    bits.div_ceil(7) as usize
}
