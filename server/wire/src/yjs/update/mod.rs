//! Updates of a document, version 1, read to their end without building the document.
//!
//! ```text
//! update    sections · section … · deletions
//! section   structs · client · clock of the first struct · struct …
//! struct    type 0 (collected) · length
//!           type 10 (skipped) · length
//!           type of the content, and flags · origin · right origin · parent · key in the parent · content (see `item`)
//! deletions clients · (client · ranges · (clock · length) …) …
//! ```
//!
//! Each struct begins where the one before it ends. Time is linear in the bytes, but for updates with clients in an
//! unusual order, whose ids are sorted. Beside a few words for each section nothing is allocated.
//!
//! An accepted update may still be refused by the document, with an error: when it embeds JSON that only JavaScript can
//! represent, or when the parent of an item is not a shared type.

mod any;
mod concatenation;
mod content;
mod deletions;
mod item;
mod nesting;
mod sections;

use self::content::ContentKind;
use self::deletions::Deletions;
use self::sections::{Struct, StructKind};
use super::YjsError;
use crate::lib0::Lib0Reader;

pub use any::ANY_DEPTH_MAX;
pub use concatenation::concatenate;
pub use deletions::DeletedRange;
pub use nesting::{TYPE_DEPTH_MAX, type_depth};
pub use sections::ClientSection;

/// An update that has been read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentUpdate<'a> {
    bytes: &'a [u8],
    sections: Vec<ClientSection<'a>>,
    nested: Nested,
    deletions: Deletions<'a>,
}

impl<'a> DocumentUpdate<'a> {
    /// Reads the content of a step 2 or of an update.
    ///
    /// # Errors
    /// When it is not an update, or one that yrs reads differently from the clients.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, YjsError> {
        let mut reader = Lib0Reader::new(bytes);
        let mut nested = Nested::default();
        let sections = sections::read(&mut reader, |read| nested.count(read))?;
        let deletions = Deletions::read(&mut reader)?;
        reader.end()?;
        Ok(Self { bytes, sections, nested, deletions })
    }

    /// The encoded update.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it has of each client, each client once.
    pub fn sections(&self) -> &[ClientSection<'a>] {
        &self.sections
    }

    /// Its structs. yrs keeps each in about 300 bytes, a shared type in 600, however few it has here.
    pub fn structs(&self) -> usize {
        self.sections.iter().map(|section| section.structs).sum()
    }

    /// The documents within the document. yrs makes a store for each, of about a kilobyte.
    pub fn subdocuments(&self) -> usize {
        self.nested.documents
    }

    /// The shared types within others, such as the elements of an XML fragment. They may all be within each other: see
    /// [`type_depth`].
    pub fn shared_types(&self) -> usize {
        self.nested.types
    }

    /// Visits each struct, once more.
    fn structs_again(&self, visit: impl FnMut(&Struct)) {
        // It was read to its end before.
        let _sections = sections::read(&mut Lib0Reader::new(self.bytes), visit);
    }

    /// What is deleted, each client once, with its ranges in order.
    pub fn deletions(&self) -> impl Iterator<Item = DeletedRange> + use<'a> {
        self.deletions.clone()
    }

    /// How many ranges are deleted.
    pub fn deleted_ranges(&self) -> usize {
        self.deletions.ranges()
    }

    /// Whether it has neither structs nor deletions, like the step 2 for a client that lacks nothing.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.deleted_ranges() == 0
    }
}

/// What items contain that has a structure of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nested {
    types: usize,
    documents: usize,
}

impl Nested {
    fn count(&mut self, read: &Struct) {
        let StructKind::Item(item) = read.kind else { return };
        match item.content.kind {
            ContentKind::Value => {}
            ContentKind::SharedType => self.types += 1,
            ContentKind::Subdocument => self.documents += 1,
        }
    }
}

/// Whether no client occurs twice. Clients write them in descending order, so that they need no sorting.
fn are_distinct(mut clients: Vec<u64>) -> bool {
    clients.is_sorted_by(|former, latter| former > latter) || {
        clients.sort_unstable();
        clients.is_sorted_by(|former, latter| former < latter)
    }
}
