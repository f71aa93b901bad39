//! Sync messages, state vectors and awareness, as clients of Yjs write them.

use wire::lib0::Lib0Error;
use wire::yjs::{AwarenessEntry, AwarenessUpdate, CLOCK_MAX, StateVector, YjsError};

#[test]
fn a_state_vector_has_the_next_clock_of_each_client() {
    let state = StateVector::decode(&[0x01, 0x01, 0x02]).unwrap();
    assert_eq!((state.len(), state.entries().collect()), (1, vec![(1, 2)]));
    assert_eq!(StateVector::encode([(1, 2)]), [0x01, 0x01, 0x02]);
    assert_eq!(StateVector::decode(&[0x00]), Ok(StateVector::EMPTY));
    assert!(StateVector::EMPTY.is_empty());
}

#[test]
fn a_state_vector_cannot_claim_more_than_it_has() {
    let truncated = Err(YjsError::Field(Lib0Error::Truncated));
    for bytes in [&[][..], &[0x01], &[0x01, 0x01], &[0xff, 0xff, 0xff, 0x7f], &[0x02, 0x01, 0x02]] {
        assert_eq!(StateVector::decode(bytes), truncated, "{bytes:x?}");
    }
    assert_eq!(StateVector::decode(&[0x00, 0x00]), Err(YjsError::Field(Lib0Error::TooLong)));
}

#[test]
fn a_clock_has_31_bits() {
    let highest = StateVector::encode([(1, CLOCK_MAX)]);
    assert!(StateVector::decode(&highest).is_ok());
    let beyond = StateVector::encode([(1, CLOCK_MAX + 1)]);
    assert_eq!(StateVector::decode(&beyond), Err(YjsError::Clock));
    let wraps_around = [0x01, 0x01, 0x81, 0x80, 0x80, 0x80, 0x10];
    assert_eq!(StateVector::decode(&wraps_around), Err(YjsError::Clock));
}

#[test]
fn an_awareness_update_has_the_state_of_each_client() {
    let bytes = [0x01, 0x05, 0x00, 0x02, 0x7b, 0x7d];
    let update = AwarenessUpdate::decode(&bytes).unwrap();
    let entry = AwarenessEntry { client: 5, clock: 0, state: "{}" };
    assert_eq!(update.entries().collect::<Vec<_>>(), [entry]);
    assert_eq!(AwarenessUpdate::encode([entry]), bytes);
    assert!(!entry.is_removal());
}

#[test]
fn a_client_leaves_with_the_state_null() {
    let bytes = AwarenessUpdate::encode([AwarenessEntry::removal(5, 3)]);
    assert_eq!(bytes, b"\x01\x05\x03\x04null");
    let update = AwarenessUpdate::decode(&bytes).unwrap();
    assert!(update.entries().all(|entry| entry.is_removal()));
    assert!(AwarenessEntry { client: 5, clock: 3, state: " null\n" }.is_removal());
}

#[test]
fn the_empty_awareness_update_is_one_byte() {
    assert_eq!(AwarenessUpdate::EMPTY.bytes(), [0x00]);
    assert_eq!(AwarenessUpdate::decode(&[0x00]), Ok(AwarenessUpdate::EMPTY));
    assert!(AwarenessUpdate::EMPTY.is_empty());
}

#[test]
fn an_awareness_state_that_other_clients_cannot_parse_is_refused() {
    for state in ["", "{", "undefined", "{\"a\":1}}"] {
        let bytes = AwarenessUpdate::encode([AwarenessEntry { client: 5, clock: 1, state }]);
        assert_eq!(AwarenessUpdate::decode(&bytes), Err(YjsError::NotJson), "{state}");
    }
    let not_text = [0x01, 0x05, 0x00, 0x01, 0xff];
    assert_eq!(AwarenessUpdate::decode(&not_text), Err(YjsError::Field(Lib0Error::NotText)));
}

#[test]
fn an_awareness_update_cannot_claim_more_than_it_has() {
    let many = [0xff, 0xff, 0xff, 0x7f, 0x00];
    assert_eq!(AwarenessUpdate::decode(&many), Err(YjsError::Field(Lib0Error::Truncated)));
    assert_eq!(AwarenessUpdate::decode(b"\x00\x05"), Err(YjsError::Field(Lib0Error::TooLong)));
}
