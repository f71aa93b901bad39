//! The bytes of Yjs clients, as far as the benchmark needs them: updates that insert text, and which updates a message contains.
//!
//! An update is read for the ranges of clocks that it covers, without a document: the client has to be cheaper than the server.
//! Text is ASCII, so a letter is a byte and a clock.

/// The names of messages and sub-messages.
pub mod kind {
    pub const SYNC: u8 = 0;
    pub const AUTH: u8 = 2;
    pub const SYNC_STATUS: u8 = 8;
    /// Clients of y-sweet send it, and are answered with the same bytes.
    pub const ECHO: u8 = 102;
    pub const STEP_1: u8 = 0;
    pub const STEP_2: u8 = 1;
    pub const UPDATE: u8 = 2;
}

/// What stands in the first byte of a struct.
mod info {
    pub const KIND: u8 = 0x1f;
    pub const RIGHT: u8 = 0x40;
    pub const LEFT: u8 = 0x80;
    pub const KEY: u8 = 0x20;
    pub const COLLECTED: u8 = 0;
    pub const DELETED: u8 = 1;
    pub const STRING: u8 = 4;
    pub const SKIP: u8 = 10;
}

/// An empty step 1: everything is missing.
pub const STEP_1: [u8; 4] = [kind::SYNC, kind::STEP_1, 1, 0];

/// Who wrote an item, and its number among theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    pub client: u32,
    pub clock: u32,
}

/// Appends an unsigned number.
pub fn put(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    put(out, id.client);
    put(out, id.clock);
}

/// Appends bytes and their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// The update that inserts text into `t` between two items.
pub fn insertion(id: Id, left: Option<Id>, right: Option<Id>, text: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 1];
    put_id(&mut out, id);
    let sides = [(left, info::LEFT), (right, info::RIGHT)];
    let flags = sides.iter().filter(|(side, _)| side.is_some()).fold(0, |flags, (_, flag)| flags | flag);
    out.push(info::STRING | flags);
    sides.iter().filter_map(|(side, _)| *side).for_each(|side| put_id(&mut out, side));
    if flags == 0 {
        out.extend_from_slice(&[1, 1, b't']);
    }
    put_bytes(&mut out, text);
    // Nothing is deleted.
    out.push(0);
    out
}

/// The update of a client that types a letter after its last one.
pub fn letter(id: Id) -> Vec<u8> {
    insertion(id, id.clock.checked_sub(1).map(|clock| Id { clock, ..id }), None, b"a")
}

/// A sync message with an update.
pub fn update_message(name: &[u8], update: &[u8]) -> Vec<u8> {
    let mut out = [name, &[kind::SYNC, kind::UPDATE]].concat();
    put_bytes(&mut out, update);
    out
}

/// The message that a client of y-sweet sends after an update.
pub fn echo_message(payload: u32) -> Vec<u8> {
    let mut out = vec![kind::ECHO];
    put_bytes(&mut out, &payload.to_le_bytes());
    out
}

/// The payload of an echo.
pub fn echo_payload(message: &[u8]) -> Option<u32> {
    match message {
        [kind::ECHO, 4, payload @ ..] => payload.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)),
        _ => None,
    }
}

/// The update in a sync message, or `None` if it is another message.
pub fn update_in(message: &[u8]) -> Option<&[u8]> {
    let [kind::SYNC, kind::STEP_2 | kind::UPDATE, rest @ ..] = message else { return None };
    let mut reader = Reader(rest);
    let length = reader.number()? as usize;
    reader.0.get(..length)
}

/// Passes on the clocks that an update covers, from the first to before the last. `None` if it has something else than text.
pub fn ranges(update: &[u8], mut covered: impl FnMut(u32, u32, u32)) -> Option<()> {
    let mut reader = Reader(update);
    for _ in 0..reader.number()? {
        let structs = reader.number()?;
        let client = reader.number()?;
        let mut clock = reader.number()?;
        for _ in 0..structs {
            let (length, is_skipped) = reader.item()?;
            if !is_skipped {
                covered(client, clock, clock + length);
            }
            clock += length;
        }
    }
    Some(())
}

/// How many structs an update has. `None` if it has something else than text.
pub fn structs(update: &[u8]) -> Option<usize> {
    let mut count = 0;
    ranges(update, |_, _, _| count += 1)?;
    Some(count)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn string(&mut self) -> Option<u32> {
        let length = self.number()?;
        self.0 = self.0.get(length as usize..)?;
        Some(length)
    }

    fn id(&mut self) -> Option<()> {
        self.number()?;
        self.number()?;
        Some(())
    }

    /// How many clocks the next struct covers, and whether they are missing.
    fn item(&mut self) -> Option<(u32, bool)> {
        let first = self.byte()?;
        match first & info::KIND {
            info::COLLECTED => return Some((self.number()?, false)),
            info::SKIP => return Some((self.number()?, true)),
            _ => {}
        }
        for side in [info::LEFT, info::RIGHT] {
            if first & side != 0 {
                self.id()?;
            }
        }
        if first & (info::LEFT | info::RIGHT) == 0 {
            if self.number()? == 1 {
                self.string().map(drop)?
            } else {
                self.id()?
            }
            if first & info::KEY != 0 {
                self.string()?;
            }
        }
        match first & info::KIND {
            info::STRING => Some((self.string()?, false)),
            info::DELETED => Some((self.number()?, false)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update, merge_updates_v1};

    use super::*;

    fn covered(update: &[u8]) -> Vec<(u32, u32, u32)> {
        let mut all = Vec::new();
        ranges(update, |client, from, to| all.push((client, from, to))).expect("an update of text");
        all.sort_unstable();
        all
    }

    #[test]
    fn yrs_types_the_letters() {
        let document = Doc::new();
        let text = document.get_or_insert_text("t");
        let mut transaction = document.transact_mut();
        for clock in 0..300 {
            let update = Update::decode_v1(&letter(Id { client: 700, clock })).expect("an update");
            transaction.apply_update(update).expect("it applies");
        }
        transaction.commit();
        assert_eq!(text.get_string(&transaction), "a".repeat(300));
        let whole = transaction.encode_state_as_update_v1(&StateVector::default());
        assert_eq!(covered(&whole), [(700, 0, 300)]);
    }

    #[test]
    fn a_merged_update_has_the_ranges_of_its_parts() {
        let parts: Vec<_> =
            [(1, 0), (1, 1), (300, 0)].map(|(client, clock)| letter(Id { client, clock })).into();
        let merged = merge_updates_v1(&parts).expect("updates");
        let mut clocks: Vec<_> = covered(&merged)
            .iter()
            .flat_map(|(client, from, to)| (*from..*to).map(move |at| (*client, at)))
            .collect();
        clocks.sort_unstable();
        assert_eq!(clocks, [(1, 0), (1, 1), (300, 0)]);
    }

    #[test]
    fn deleted_text_is_covered() {
        let document = Doc::with_client_id(5);
        let text = document.get_or_insert_text("t");
        let mut transaction = document.transact_mut();
        text.insert(&mut transaction, 0, "abcdef");
        text.remove_range(&mut transaction, 2, 2);
        let whole = transaction.encode_state_as_update_v1(&StateVector::default());
        assert_eq!(covered(&whole).last().map(|last| last.2), Some(6));
    }
}
