//! A cursor over borrowed bytes. It allocates nothing, and no length is used before it is compared with what is left.

use super::NUMBER_MAX;

/// The longest number: 8 × 7 bits.
const NUMBER_BYTES_MAX: u32 = 8;

/// The bit that says that another byte follows.
const MORE: u8 = 0x80;

/// The bit that is the sign of a `var_int`, in its first byte.
const NEGATIVE: u8 = 0x40;

/// Why a field cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lib0Error {
    /// The bytes end within the field, or a count exceeds what is left.
    #[error("message ends too early")]
    Truncated,
    /// A number of 2⁵³ or more, or of more than 8 bytes.
    #[error("number is too large")]
    Number,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotText,
    /// Bytes follow the last field.
    #[error("bytes follow the end")]
    TooLong,
}

/// What is left of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lib0Reader<'a>(&'a [u8]);

impl<'a> Lib0Reader<'a> {
    /// Reads from the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Unread bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All unread bytes.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Ends the message.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn end(self) -> Result<(), Lib0Error> {
        if self.is_empty() { Ok(()) } else { Err(Lib0Error::TooLong) }
    }

    /// One byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn byte(&mut self) -> Result<u8, Lib0Error> {
        let (&byte, rest) = self.0.split_first().ok_or(Lib0Error::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Lib0Error> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Lib0Error::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number.
    ///
    /// # Errors
    /// When it is not complete, or too large.
    pub fn var_uint(&mut self) -> Result<u64, Lib0Error> {
        self.continued(0, 0, NUMBER_BYTES_MAX)
    }

    /// A number with a sign. Zero with a minus is zero.
    ///
    /// # Errors
    /// As [`var_uint`](Self::var_uint).
    pub fn var_int(&mut self) -> Result<i64, Lib0Error> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        let number = if first & MORE == 0 { low } else { self.continued(low, 6, NUMBER_BYTES_MAX - 1)? };
        let number = i64::try_from(number).map_err(|_too_large| Lib0Error::Number)?;
        Ok(if first & NEGATIVE == 0 { number } else { -number })
    }

    /// The bytes after the lowest `shift` bits of a number, which are `number`.
    fn continued(&mut self, mut number: u64, shift: u32, bytes_max: u32) -> Result<u64, Lib0Error> {
        for index in 0..bytes_max {
            let byte = self.byte()?;
            number |= u64::from(byte & !MORE) << (shift + 7 * index);
            if byte & MORE == 0 {
                return if number <= NUMBER_MAX { Ok(number) } else { Err(Lib0Error::Number) };
            }
        }
        Err(Lib0Error::Number)
    }

    /// The number of entries that follow, each of at least `entry_bytes` bytes, so that space may be reserved for them.
    ///
    /// # Errors
    /// When that many cannot be left.
    pub fn count(&mut self, entry_bytes: usize) -> Result<usize, Lib0Error> {
        let count = self.length()?;
        if count <= self.len() / entry_bytes { Ok(count) } else { Err(Lib0Error::Truncated) }
    }

    /// Bytes after their length.
    ///
    /// # Errors
    /// When they are not complete.
    pub fn var_bytes(&mut self) -> Result<&'a [u8], Lib0Error> {
        let length = self.length()?;
        self.bytes(length)
    }

    /// Text after its length.
    ///
    /// # Errors
    /// When it is not complete, or not UTF-8.
    pub fn var_string(&mut self) -> Result<&'a str, Lib0Error> {
        std::str::from_utf8(self.var_bytes()?).map_err(|_not_utf8| Lib0Error::NotText)
    }

    fn length(&mut self) -> Result<usize, Lib0Error> {
        usize::try_from(self.var_uint()?).map_err(|_too_large| Lib0Error::Truncated)
    }
}
