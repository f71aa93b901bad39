//! Documents: fields, messages and updates of clients of Yjs.
//!
//! Numbers may be written with more bytes than they need. So what is decoded and encoded again is equal if it has the
//! same length, and otherwise it is shorter and has the same content.

use wire::hocuspocus::{self, HocuspocusFrame};
use wire::lib0::{Lib0Error, Lib0Reader, Lib0Write};
use wire::y_websocket;
use wire::yjs::{
    AwarenessUpdate, CLOCK_MAX, DocumentUpdate, StateVector, TYPE_DEPTH_MAX, concatenate, type_depth,
};
use yrs::encoding::read::Error;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, Transact, Update};

use super::reader;

/// The bytes that a value was read from, and those that it is written to.
fn check_again(read: &[u8], again: &[u8]) {
    assert!(again.len() <= read.len(), "the shortest encoding");
    assert!(again.len() < read.len() || again == read, "one shortest encoding");
}

/// Fields, each of the kind that the byte before it says.
pub fn lib0(data: &[u8]) {
    let mut reader = Lib0Reader::new(data);
    while let Ok(kind) = reader.byte() {
        if field(kind, &mut reader).is_err() {
            return;
        }
    }
    assert_eq!((reader.len(), reader.end()), (0, Ok(())));
}

fn field(kind: u8, reader: &mut Lib0Reader<'_>) -> Result<(), Lib0Error> {
    let (start, mut again) = (*reader, Vec::new());
    match kind % 5 {
        0 => again.var_uint(reader.var_uint()?),
        1 => again.var_int(reader.var_int()?),
        2 => again.var_bytes(reader.var_bytes()?),
        3 => again.var_string(reader.var_string()?),
        _ => {
            let (count, left) = (reader.count(2)?, reader.len());
            assert!(count <= left / 2);
            return Ok(());
        }
    }
    // A zero with a minus is written without it.
    if kind % 5 != 1 || again != [0] {
        check_again(&start.rest()[..start.len() - reader.len()], &again);
    }
    Ok(())
}

/// The content of a step 1.
pub fn state_vector(data: &[u8]) {
    let Ok(state) = StateVector::decode(data) else { return };
    let entries: Vec<_> = state.entries().collect();
    assert_eq!((entries.len(), state.bytes()), (state.len(), data));
    let again = StateVector::encode(entries.iter().copied());
    check_again(data, &again);
    assert!(StateVector::decode(&again).unwrap().entries().eq(entries));
    let known = yrs::StateVector::decode_v1(data).expect("yrs reads it too");
    assert!(known.len() <= state.len());
}

/// The content of an awareness message.
pub fn awareness_update(data: &[u8]) {
    let Ok(update) = AwarenessUpdate::decode(data) else { return };
    let entries: Vec<_> = update.entries().collect();
    assert_eq!((entries.len(), update.bytes()), (update.len(), data));
    for entry in &entries {
        assert!(entry.clock <= CLOCK_MAX);
        let state = serde_json::from_str::<&serde_json::value::RawValue>(entry.state).expect("JSON");
        assert_eq!(state.get() == "null", entry.is_removal());
    }
    let again = AwarenessUpdate::encode(entries.iter().copied());
    check_again(data, &again);
    assert!(AwarenessUpdate::decode(&again).unwrap().entries().eq(entries));
}

/// An update. yrs reads the same from it, and what it writes is accepted again.
pub fn document_update(data: &[u8]) {
    let Ok(update) = DocumentUpdate::decode(data) else { return };
    assert_eq!(update.bytes(), data);
    assert!(update.sections().len() * 5 + update.deleted_ranges() * 2 < data.len());
    assert!(update.structs() * 2 + update.deleted_ranges() * 2 < data.len());
    assert!(update.shared_types() + update.subdocuments() <= update.structs());
    assert_eq!(update.deletions().count(), update.deleted_ranges());
    for section in update.sections() {
        assert!(section.structs > 0 && section.clock < section.end && section.end <= CLOCK_MAX);
    }
    let known = match Update::decode_v1(data) {
        Ok(known) => known.encode_v1(),
        Err(Error::InvalidJSON(_)) => return,
        Err(error) => panic!("yrs refuses an update: {error}"),
    };
    let again = DocumentUpdate::decode(&known).expect("what yrs writes is accepted");
    let lengths = |update: &DocumentUpdate<'_>| {
        let mut sections: Vec<_> =
            update.sections().iter().map(|section| (section.client, section.end)).collect();
        sections.sort_unstable();
        let mut deletions: Vec<_> =
            update.deletions().map(|range| (range.client, range.clock, range.length)).collect();
        deletions.sort_unstable();
        (sections, deletions)
    };
    // yrs leaves out skipped structs at the beginning.
    let ((sections, deletions), (known_sections, known_deletions)) = (lengths(&update), lengths(&again));
    assert!(known_sections.len() <= sections.len());
    assert_eq!(known_deletions, deletions);
}

/// Updates, each with its length before it, applied one after the other. A document stays as shallow as was calculated before, so that
/// yrs can delete all of it, and one who is sent all of it has the same, encoded by the document or as the updates follow each other.
pub fn document_updates(data: &[u8]) {
    let (mut reader, doc, mut applied) = (Lib0Reader::new(data), document(), Vec::new());
    while let Ok(update) = reader.var_bytes() {
        let Ok(decoded) = DocumentUpdate::decode(update) else { return };
        let Ok(known) = Update::decode_v1(update) else { return };
        let before = state(&doc);
        let before = DocumentUpdate::decode(&before).expect("what yrs writes is accepted");
        let (alone, depth) = (type_depth(None, &[&decoded]), type_depth(Some(&before), &[&decoded]));
        assert!(depth <= type_depth(None, &[&before]) + alone);
        if depth > TYPE_DEPTH_MAX || doc.transact_mut().apply_update(known).is_err() {
            return;
        }
        if has_pending(&doc) {
            return;
        }
        let after = state(&doc);
        let after = DocumentUpdate::decode(&after).expect("what yrs writes is accepted");
        assert!(type_depth(None, &[&after]) <= depth);
        applied.push(decoded);
    }
    for all in [Some(state(&doc)), concatenate(&applied)].into_iter().flatten() {
        DocumentUpdate::decode(&all).expect("what is written is accepted");
        let copy = document();
        copy.transact_mut().apply_update(Update::decode_v1(&all).unwrap()).unwrap();
        assert!(!has_pending(&copy), "all of it is there");
        assert_eq!(copy.transact().snapshot(), doc.transact().snapshot());
        assert_eq!(text(&copy), text(&doc));
    }
}

fn document() -> Doc {
    Doc::with_options(Options {
        offset_kind: OffsetKind::Utf16,
        ..Options::with_client_id(yrs::block::ClientID::new(1))
    })
}

fn state(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&yrs::StateVector::default())
}

fn text(doc: &Doc) -> String {
    let text = doc.get_or_insert_text("t");
    yrs::GetString::get_string(&text, &doc.transact())
}

fn has_pending(doc: &Doc) -> bool {
    let transaction = doc.transact();
    transaction.store().pending_update().is_some() || transaction.store().pending_ds().is_some()
}

/// A frame of y-websocket or y-sweet.
pub fn y_websocket(data: &[u8]) {
    let messages: Vec<_> = y_websocket::messages(data).collect();
    assert!(!messages.is_empty() && messages.len() <= data.len().max(1));
    let failed = messages.iter().position(Result::is_err).unwrap_or(messages.len());
    assert!(failed + 1 >= messages.len(), "nothing follows an error");
    let mut again = Vec::new();
    for message in messages.iter().flatten() {
        let frame = message.encode();
        let payload = reader::binary(&frame);
        assert!(y_websocket::messages(payload).eq([Ok(*message)]));
        again.extend_from_slice(payload);
    }
    if failed == messages.len() {
        check_again(data, &again);
    }
}

/// A frame of Hocuspocus.
pub fn hocuspocus(data: &[u8]) {
    let Ok(decoded) = hocuspocus::decode(data) else { return };
    let frame = match decoded {
        HocuspocusFrame::Ping => hocuspocus::ping(),
        HocuspocusFrame::Pong => hocuspocus::pong(),
        HocuspocusFrame::Document { key, message } => {
            assert!(!key.document().contains('\0') && !key.document().is_empty());
            let parts = key.session().map(|session| [key.document(), session].join("\0"));
            assert_eq!(parts.as_deref().unwrap_or(key.document()), key.as_str());
            let Ok(message) = message else { return };
            message.encode(key.as_str())
        }
    };
    let payload = reader::binary(&frame);
    assert_eq!(hocuspocus::decode(payload), Ok(decoded));
    check_again(data, payload);
}
