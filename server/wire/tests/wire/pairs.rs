//! A character of two code units that an edit cuts into halves. Clients replace each half by U+FFFD, and so does yrs: an earlier
//! version lost the text behind it. Updates, texts and states were written by Yjs 13.6.33, which also reads what yrs writes of them.

use wire::yjs::DocumentUpdate;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Transact, Update, merge_updates_v1};

/// What a client does with "a\u{1f600}b" in the text `t`.
struct Case {
    name: &'static str,
    /// Its updates, in hexadecimal digits.
    updates: &'static [&'static str],
    /// The text that the client has then.
    text: &'static str,
    /// All that it has.
    state: &'static str,
}

const CASES: [Case; 7] = [
    Case {
        name: "delete second",
        updates: &["01010100040101740661f09f98806200", "000101010201", "01010104440100046d6f726500"],
        text: "morea\u{fffd}b",
        state: "01040100040101740461efbfbd810101018401020162440100046d6f72650101010201",
    },
    Case {
        name: "delete first",
        updates: &["01010100040101740661f09f98806200", "000101010101", "01010104440100046d6f726500"],
        text: "morea\u{fffd}b",
        state: "010401000401017401618101000184010104efbfbd62440100046d6f72650101010101",
    },
    Case {
        name: "insert",
        updates: &[
            "01010100040101740661f09f98806200",
            "01010104c401010102015800",
            "01010105440100046d6f726500",
        ],
        text: "morea\u{fffd}X\u{fffd}b",
        state: "01040100040101740461efbfbd84010104efbfbd62c4010101020158440100046d6f726500",
    },
    Case {
        name: "delete across",
        updates: &["01010100040101740661f09f98806200", "000101010202", "01010104440100046d6f726500"],
        text: "morea\u{fffd}",
        state: "01030100040101740461efbfbd81010102440100046d6f72650101010202",
    },
    Case {
        name: "insert pair",
        updates: &[
            "01010100040101740661f09f98806200",
            "01010104c40101010204f09f988e00",
            "01010106440100046d6f726500",
        ],
        text: "morea\u{fffd}\u{1f60e}\u{fffd}b",
        state: "01040100040101740461efbfbd84010104efbfbd62c40101010204f09f988e440100046d6f726500",
    },
    Case {
        name: "format",
        updates: &[
            "01010100040101740661f09f98806200",
            "01020104c60101010204626f6c640474727565c60102010304626f6c64046e756c6c00",
            "01010106440100046d6f726500",
        ],
        text: "morea\u{fffd}\u{fffd}b",
        state: "01060100040101740461efbfbd84010103efbfbd8401020162c60101010204626f6c640474727565c60102010304626f6c64046e756c6c440100046d6f726500",
    },
    Case {
        name: "concurrent",
        updates: &[
            "01010100040101740b78f09f988079f09f98807a00",
            "000101010101",
            "000101010201",
            "01010200c401040105014200",
            "01010107c401040105014100",
        ],
        text: "xy\u{fffd}AB\u{fffd}z",
        state: "02010200c4010401050142050100040101740178810100028401020479efbfbd84010404efbfbd7ac40104010501410101010102",
    },
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn applied(updates: &[Vec<u8>]) -> Doc {
    let doc = Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::default() });
    for update in updates {
        DocumentUpdate::decode(update).expect("it is accepted");
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
    doc
}

fn text(doc: &Doc) -> String {
    doc.get_or_insert_text("t").get_string(&doc.transact())
}

fn state(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

#[test]
fn a_character_that_is_cut_becomes_two_replacement_characters_as_in_the_clients() {
    for Case { name, updates, text: expected, state: of_client } in CASES {
        let updates: Vec<Vec<u8>> = updates.iter().map(|update| bytes(update)).collect();
        let doc = applied(&updates);
        assert_eq!(text(&doc), expected, "{name}");
        let reversed: Vec<_> = updates.iter().rev().cloned().collect();
        let (merged, merged_reversed) =
            (merge_updates_v1(&updates).unwrap(), merge_updates_v1(&reversed).unwrap());
        for same in [&reversed[..], &[merged], &[merged_reversed], &[state(&doc)], &[bytes(of_client)]] {
            let same = applied(same);
            assert_eq!(text(&same), expected, "{name}");
            assert_eq!(same.transact().snapshot(), doc.transact().snapshot(), "{name}");
        }
    }
}
