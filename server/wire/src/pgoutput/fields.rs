//! Reads the fields of a message, one after the other. Integers are big-endian, texts end with a zero byte.

use super::{Lsn, PgoutputError};

/// The unread rest of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogFields<'a>(&'a [u8]);

impl<'a> LogFields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// Unread bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails if bytes are left.
    pub(super) fn end(&self) -> Result<(), PgoutputError> {
        if self.0.is_empty() { Ok(()) } else { Err(PgoutputError::TooLong) }
    }

    pub(super) fn byte(&mut self) -> Result<u8, PgoutputError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn i16(&mut self) -> Result<i16, PgoutputError> {
        self.take().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, PgoutputError> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PgoutputError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, PgoutputError> {
        self.take().map(i64::from_be_bytes)
    }

    pub(super) fn lsn(&mut self) -> Result<Lsn, PgoutputError> {
        self.take().map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    /// Bytes after their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], PgoutputError> {
        let length = usize::try_from(self.i32()?).map_err(|_negative| PgoutputError::Truncated)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(PgoutputError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A text up to a zero byte.
    pub(super) fn text(&mut self) -> Result<&'a str, PgoutputError> {
        let end = self.0.iter().position(|&byte| byte == 0).ok_or(PgoutputError::Truncated)?;
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_not_utf8| PgoutputError::NotText)?;
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    /// What `read` consumes.
    pub(super) fn consumed_by(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), PgoutputError>,
    ) -> Result<LogFields<'a>, PgoutputError> {
        let before = self.0;
        read(self)?;
        Ok(LogFields(&before[..before.len() - self.0.len()]))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PgoutputError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(PgoutputError::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }
}
