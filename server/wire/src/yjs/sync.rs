//! The messages of a synchronisation. A client sends step 1; the server answers step 2 and sends its own step 1; from then
//! on both send updates.

use super::YjsError;
use crate::lib0::{Lib0Reader, Lib0Write, var_uint_bytes};

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// A sync message. Its content is not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMessage<'a> {
    /// The [`StateVector`](super::StateVector) of the sender, which requests what it lacks.
    Step1(&'a [u8]),
    /// A [`DocumentUpdate`](super::DocumentUpdate) with what the receiver lacks, and all that is deleted.
    Step2(&'a [u8]),
    /// A [`DocumentUpdate`](super::DocumentUpdate) with what has changed.
    Update(&'a [u8]),
}

impl<'a> SyncMessage<'a> {
    pub(crate) fn read(reader: &mut Lib0Reader<'a>) -> Result<Self, YjsError> {
        match reader.var_uint()? {
            STEP_1 => Ok(Self::Step1(reader.var_bytes()?)),
            STEP_2 => Ok(Self::Step2(reader.var_bytes()?)),
            UPDATE => Ok(Self::Update(reader.var_bytes()?)),
            other => Err(YjsError::SyncType(other)),
        }
    }

    pub(crate) fn write(self, buffer: &mut impl Lib0Write) {
        let (kind, content) = self.parts();
        buffer.var_uint(kind);
        buffer.var_bytes(content);
    }

    /// How many bytes [`write`](Self::write) appends.
    pub(crate) fn bytes(self) -> usize {
        let (_kind, content) = self.parts();
        1 + var_uint_bytes(content.len() as u64) + content.len()
    }

    fn parts(self) -> (u64, &'a [u8]) {
        match self {
            Self::Step1(content) => (STEP_1, content),
            Self::Step2(content) => (STEP_2, content),
            Self::Update(content) => (UPDATE, content),
        }
    }
}
