//! Changes of tables among nodes. One node reads the log of a database; the others deliver its changes to their own members.
//!
//! ```text
//! changes   version 1 · kind 7 · sender 8 · change … to the end
//! change    length 4 · type 1 · data length 4 · data · group … to its end
//! group     key 8 · count 4 · id 4 …
//! ```
//!
//! A message with its own kind and its own functions, because it is not about one room: nodes that do not know the kind
//! ignore it, and have no subscribers to changes.

use hub::NodeId;

use super::fields::Fields;
use super::{Malformed, VERSION, begin};
use crate::change_type::ChangeType;

const CHANGES: u8 = 7;

/// Each change type by its number in a message.
const TYPES: [ChangeType; 3] = [ChangeType::Insert, ChangeType::Update, ChangeType::Delete];

/// Encodes changes, one after the other.
#[derive(Debug)]
pub struct ChangesBuilder(Vec<u8>);

/// Changes in order. All have been validated; iteration decodes them again.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes<'a>(Fields<'a>);

/// A change of a row, and whom it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct RelayedChange<'a> {
    /// What has happened.
    pub change: ChangeType,
    /// The change as clients read it, a JSON object.
    pub data: &'a str,
    /// Its receivers.
    pub groups: ChangeGroups<'a>,
}

/// Groups of receivers, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeGroups<'a>(Fields<'a>);

/// Members that may read the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGroup<'a> {
    /// Which members they are. All nodes derive the same number, such as a hash of role and claims; it has no meaning here.
    pub key: u64,
    /// The ids of the bindings that the change matches, in order.
    pub ids: ChangeIds<'a>,
}

/// Ids of bindings, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeIds<'a>(&'a [[u8; 4]]);

impl ChangesBuilder {
    /// A message without changes.
    pub fn new(sender: NodeId) -> Self {
        Self(begin(CHANGES, sender, 0))
    }

    /// Appends a change. Returns whether it has less than 4 GiB; if not, it is not appended.
    #[must_use]
    pub fn push(&mut self, change: ChangeType, data: &str, groups: &[(u64, &[u32])]) -> bool {
        let groups_bytes: usize = groups.iter().map(|(_, ids)| 12 + 4 * ids.len()).sum();
        let Ok(length) = u32::try_from(5 + data.len() + groups_bytes) else { return false };
        let message = &mut self.0;
        message.reserve(4 + length as usize);
        message.extend(length.to_be_bytes());
        message.push(TYPES.iter().position(|&known| known == change).expect("the table has all types") as u8);
        // Shorter than the whole, whose length fits; so are the counts.
        message.extend((data.len() as u32).to_be_bytes());
        message.extend_from_slice(data.as_bytes());
        for (key, ids) in groups {
            message.extend(key.to_be_bytes());
            message.extend((ids.len() as u32).to_be_bytes());
            message.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
        }
        true
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no change was appended.
    pub fn is_empty(&self) -> bool {
        self.0.len() == super::HEADER_BYTES
    }

    /// The finished message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Decodes a message of [`ChangesBuilder`], and its sender.
///
/// # Errors
/// When it is malformed, of another version or another kind; the caller drops it.
pub fn decode_changes(message: &[u8]) -> Result<(NodeId, Changes<'_>), Malformed> {
    let mut fields = Fields::new(message);
    match fields.byte()? {
        VERSION => {}
        other => return Err(Malformed::Version(other)),
    }
    match fields.byte()? {
        CHANGES => {}
        other => return Err(Malformed::Kind(other)),
    }
    let sender = NodeId::new(fields.number()?);
    let changes = Changes(fields);
    while !fields.is_at_end() {
        read_change(fields.bytes()?)?;
    }
    Ok((sender, changes))
}

fn read_change(change: &[u8]) -> Result<RelayedChange<'_>, Malformed> {
    let mut fields = Fields::new(change);
    let number = fields.byte()?;
    let change = *TYPES.get(usize::from(number)).ok_or(Malformed::Kind(number))?;
    let data = fields.text()?;
    let groups = ChangeGroups(fields);
    while !fields.is_at_end() {
        read_group(&mut fields)?;
    }
    Ok(RelayedChange { change, data, groups })
}

fn read_group<'a>(fields: &mut Fields<'a>) -> Result<ChangeGroup<'a>, Malformed> {
    let (key, count) = (fields.number()?, fields.count()?);
    Ok(ChangeGroup { key, ids: ChangeIds(fields.chunks(count)?) })
}

impl<'a> Iterator for Changes<'a> {
    type Item = RelayedChange<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.0.bytes().ok()?;
        read_change(change).ok()
    }
}

impl<'a> Iterator for ChangeGroups<'a> {
    type Item = ChangeGroup<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        read_group(&mut self.0).ok()
    }
}

impl Iterator for ChangeIds<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (id, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*id))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for ChangeIds<'_> {}
