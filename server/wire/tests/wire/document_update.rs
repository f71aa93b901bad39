//! Updates of documents: what Yjs 13.6.33 and yrs write is read, and what would harm yrs or other clients is refused.

use wire::lib0::{Lib0Error, Lib0Write};
use wire::yjs::{ANY_DEPTH_MAX, CLOCK_MAX, ClientSection, DeletedRange, DocumentUpdate, YjsError};

/// Client 1 inserts "hi" into the text `t`.
const TEXT: [u8; 13] = [0x01, 0x01, 0x01, 0x00, 0x04, 0x01, 0x01, 0x74, 0x02, 0x68, 0x69, 0x00, 0x00];

/// An update of client 1 at clock 0 with these structs, and no deletions.
fn update(structs: &[&[u8]]) -> Vec<u8> {
    let mut update = vec![0x01];
    update.var_uint(structs.len() as u64);
    update.extend([0x01, 0x00]);
    update.extend(structs.concat());
    update.push(0x00);
    update
}

/// An item in the shared type `t`.
fn item(content: u8, rest: &[u8]) -> Vec<u8> {
    [&[content, 0x01, 0x01, b't'], rest].concat()
}

fn end_of(bytes: &[u8]) -> Result<u32, YjsError> {
    DocumentUpdate::decode(bytes).map(|update| update.sections()[0].end)
}

fn error(bytes: &[u8]) -> YjsError {
    DocumentUpdate::decode(bytes).expect_err("it is refused")
}

#[test]
fn an_insertion_is_a_section_of_its_client() {
    let update = DocumentUpdate::decode(&TEXT[..12]).unwrap();
    let body = &TEXT[4..11];
    assert_eq!(update.sections(), [ClientSection { client: 1, clock: 0, end: 2, structs: 1, body }]);
    assert_eq!((update.structs(), update.deleted_ranges(), update.is_empty()), (1, 0, false));
}

#[test]
fn a_deletion_has_no_structs() {
    let update = DocumentUpdate::decode(&[0x00, 0x01, 0x01, 0x01, 0x00, 0x01]).unwrap();
    let deleted: Vec<_> = update.deletions().collect();
    assert_eq!(deleted, [DeletedRange { client: 1, clock: 0, length: 1 }]);
    assert_eq!((update.structs(), update.deleted_ranges(), update.is_empty()), (0, 1, false));
}

#[test]
fn the_step_2_for_a_client_that_lacks_nothing_is_empty() {
    assert!(DocumentUpdate::decode(&[0x00, 0x00]).unwrap().is_empty());
}

#[test]
fn bytes_after_an_update_are_an_error() {
    assert_eq!(error(&TEXT), YjsError::Field(Lib0Error::TooLong));
}

#[test]
fn every_beginning_of_an_update_is_refused() {
    for length in 0..12 {
        assert_eq!(error(&TEXT[..length]), YjsError::Field(Lib0Error::Truncated), "{length} bytes");
    }
}

#[test]
fn counts_cannot_exceed_what_is_left() {
    let huge = [0xff, 0xff, 0xff, 0x7f];
    let sections = [&huge[..], &[0, 0]].concat();
    let structs = [&[0x01][..], &huge, &[0x01, 0x00, 0x00]].concat();
    let values = update(&[&item(8, &huge)]);
    let array = update(&[&item(8, &[&[0x01, 117][..], &huge].concat())]);
    let object = update(&[&item(8, &[&[0x01, 118][..], &huge].concat())]);
    let clients = [&[0x00][..], &huge].concat();
    let ranges = [&[0x00, 0x01, 0x01][..], &huge].concat();
    for bytes in [sections, structs, values, array, object, clients, ranges] {
        assert_eq!(error(&bytes), YjsError::Field(Lib0Error::Truncated), "{bytes:x?}");
    }
}

#[test]
fn each_content_has_its_length() {
    let simple_values =
        [&[8, 127, 126, 121, 120, 124][..], &[0; 4], &[123], &[0; 8], &[122], &[0; 8], &[116, 1, 255]];
    let contents: [(u8, &[u8], u32); 13] = [
        (1, &[5], 5),
        (3, &[2, 0, 255], 1),
        (4, b"\x02hi", 2),
        (4, "\u{5}é\u{303}!".as_bytes(), 3),
        (4, "\u{4}😀".as_bytes(), 2),
        (5, b"\x07{\"a\":1}", 1),
        (6, b"\x04bold\x04true", 1),
        (7, &[2], 1),
        (7, &[3, 1, b'p'], 1),
        (8, &simple_values.concat(), 8),
        (8, &[1, 118, 1, 1, b'k', 117, 2, 125, 0x41, 119, 1, b'v'], 1),
        (9, &[3, b'i', b'd', b'1', 118, 0], 1),
        (9, &[0, 127], 1),
    ];
    for (content, rest, length) in contents {
        assert_eq!(end_of(&update(&[&item(content, rest)])), Ok(length), "{content}: {rest:x?}");
    }
}

#[test]
fn types_and_documents_within_the_document_are_counted() {
    let bytes = update(&[&item(7, &[0]), &item(9, &[0, 127]), &item(7, &[3, 1, b'p'])]);
    let update = DocumentUpdate::decode(&bytes).unwrap();
    assert_eq!((update.structs(), update.shared_types(), update.subdocuments()), (3, 2, 1));
}

#[test]
fn what_yrs_reads_otherwise_than_clients_is_refused() {
    assert_eq!(error(&update(&[&item(2, b"\x01\x011")])), YjsError::LegacyContent);
    assert_eq!(error(&update(&[&item(7, &[5, 1, b'h'])])), YjsError::SharedType(5));
    assert_eq!(error(&update(&[&item(7, &[15])])), YjsError::SharedType(15));
    // Flags of a collected struct: clients ignore them, yrs takes it for an item.
    assert_eq!(error(&update(&[&[0x80, 2, 0, 1]])), YjsError::StructType(0));
}

#[test]
fn text_is_utf8_everywhere() {
    let not_text = YjsError::Field(Lib0Error::NotText);
    let in_string = update(&[&item(4, &[1, 0xff])]);
    let in_value = update(&[&item(8, &[1, 119, 1, 0xff])]);
    let in_key_of_value = update(&[&item(8, &[1, 118, 1, 1, 0xff, 127])]);
    let in_format = update(&[&item(6, &[1, 0xff, 1, b'1'])]);
    let in_name = update(&[&item(7, &[3, 1, 0xff])]);
    let in_id = update(&[&item(9, &[1, 0xff, 127])]);
    let in_parent = update(&[&[4, 1, 1, 0xff, 1, b'x']]);
    let in_key = update(&[&[0x24, 1, 1, b't', 1, 0xff, 1, b'x']]);
    let all = [in_string, in_value, in_key_of_value, in_format, in_name, in_id, in_parent, in_key];
    for bytes in all {
        assert_eq!(error(&bytes), not_text, "{bytes:x?}");
    }
}

#[test]
fn embedded_values_are_json() {
    assert_eq!(error(&update(&[&item(5, b"\x01{")])), YjsError::NotJson);
    assert_eq!(error(&update(&[&item(6, b"\x01b\x09undefined")])), YjsError::NotJson);
}

#[test]
fn values_are_nested_up_to_a_limit() {
    for level in [&[117, 1][..], &[118, 1, 0]] {
        let nested = |depth: usize| update(&[&item(8, &[&[1], &*level.repeat(depth), &[127]].concat())]);
        assert_eq!(end_of(&nested(ANY_DEPTH_MAX)), Ok(1));
        assert_eq!(error(&nested(ANY_DEPTH_MAX + 1)), YjsError::Depth);
        assert_eq!(error(&nested(100_000)), YjsError::Depth);
    }
}

#[test]
fn clocks_do_not_overflow() {
    let mut longest = vec![0x00];
    longest.var_uint(CLOCK_MAX.into());
    assert_eq!(end_of(&update(&[&longest])), Ok(CLOCK_MAX));
    assert_eq!(error(&update(&[&longest, &[0x00, 0x01]])), YjsError::Clock);
    assert_eq!(error(&update(&[&longest, &item(4, b"\x01x")])), YjsError::Clock);
    let deleted = [&[0x00, 0x01, 0x01, 0x01, 0x01][..], &longest[1..]].concat();
    assert_eq!(error(&deleted), YjsError::Clock);
}

#[test]
fn structs_and_sections_are_not_empty() {
    assert_eq!(error(&update(&[&[0x00, 0x00]])), YjsError::EmptyStruct);
    assert_eq!(error(&update(&[&[0x0a, 0x00]])), YjsError::EmptyStruct);
    assert_eq!(error(&[0x01, 0x00, 0x01, 0x00, 0x00, 0x00]), YjsError::EmptySection);
    let (empty, text) = (item(4, &[0]), item(4, b"\x01x"));
    assert_eq!(error(&update(&[&empty, &empty])), YjsError::EmptySection);
    assert_eq!(end_of(&update(&[&empty, &text])), Ok(1), "Yjs once wrote empty texts");
}

#[test]
fn a_client_occurs_once() {
    let [first, second] = [[0x01, 0x01, 0x00, 0x00, 0x01], [0x01, 0x02, 0x00, 0x00, 0x01]];
    let sections = |list: &[[u8; 5]]| [&[list.len() as u8][..], list.concat().as_slice(), &[0x00]].concat();
    for order in [&[first, second][..], &[second, first]] {
        assert_eq!(DocumentUpdate::decode(&sections(order)).unwrap().sections().len(), 2);
    }
    assert_eq!(error(&sections(&[first, second, first])), YjsError::RepeatedClient);
    let deletions = [0x00, 0x02, 0x01, 0x01, 0x00, 0x01, 0x01, 0x01, 0x05, 0x01];
    assert_eq!(error(&deletions), YjsError::RepeatedClient);
}

#[test]
fn deleted_ranges_are_in_order() {
    let ranges = |first: [u8; 2], second: [u8; 2]| [&[0x00, 0x01, 0x01, 0x02][..], &first, &second].concat();
    assert_eq!(DocumentUpdate::decode(&ranges([0, 2], [2, 1])).unwrap().deleted_ranges(), 2);
    assert_eq!(error(&ranges([2, 1], [0, 2])), YjsError::DeletedRanges);
    assert_eq!(error(&ranges([0, 3], [2, 1])), YjsError::DeletedRanges);
}

#[test]
fn an_item_refers_to_earlier_ones_of_its_client() {
    let text = item(4, b"\x01x");
    let after = |client: u8, clock: u8| vec![0x84, client, clock, 0x01, b'y'];
    assert_eq!(end_of(&update(&[&text, &after(1, 0)])), Ok(2));
    assert_eq!(error(&update(&[&text, &after(1, 1)])), YjsError::LaterItem);
    assert_eq!(end_of(&update(&[&text, &after(2, 9)])), Ok(2), "what others have made may be anywhere");
    assert_eq!(error(&update(&[&text, &[0x44, 0x01, 0x01, 0x01, b'y']])), YjsError::LaterItem);
    assert_eq!(error(&update(&[&[0x04, 0x00, 0x01, 0x00, 0x01, b'y']])), YjsError::LaterItem);
    assert_eq!(error(&update(&[&[0x04, 0x02, 0x01, b't', 0x01, b'y']])), YjsError::Parent);
}

#[test]
fn unknown_types_are_refused() {
    assert_eq!(error(&update(&[&item(11, &[0])])), YjsError::StructType(11));
    assert_eq!(error(&update(&[&item(0x14, b"\x01x")])), YjsError::StructType(0x14));
    assert_eq!(error(&update(&[&item(8, &[1, 115])])), YjsError::ValueType(115));
}
