//! Properties of the updates that yrs writes while several clients edit a document.

use proptest::collection::vec;
use proptest::prelude::*;
use wire::yjs::{DocumentUpdate, StateVector, YjsError};
use yrs::block::ClientID;
use yrs::types::Attrs;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Array, ArrayPrelim, Doc, Map, OffsetKind, Options, ReadTxn, Text, TextPrelim, Transact, Update,
    XmlElementPrelim, XmlFragment, merge_updates_v1,
};

const CLIENTS: usize = 3;

/// What a client does. Numbers select a position or a length among those there are.
#[derive(Debug, Clone)]
enum Edit {
    Insert(u32, String),
    Format(u32, u32),
    Delete(u32, u32),
    Set(String, Any),
    Nest(u32),
    Element(String),
    /// Receives what another client has.
    Receive(usize),
}

fn value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Null),
        Just(Any::Undefined),
        any::<bool>().prop_map(Any::from),
        any::<f64>().prop_map(Any::from),
        any::<i32>().prop_map(Any::from),
        any::<i64>().prop_map(|number| Any::Number(number.into())),
        ".{0,20}".prop_map(|text| Any::from(text.as_str())),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Any::Buffer(bytes.into())),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| Any::Array(values.into())),
            proptest::collection::hash_map(".{0,9}", inner, 0..4).prop_map(Any::from),
        ]
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        // Without characters of two code units: where an edit of yrs 0.28 has cut one, its editing functions miscount.
        4 => (any::<u32>(), "[a-cé\u{20ac}]{0,9}").prop_map(|(at, text)| Edit::Insert(at, text)),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(at, length)| Edit::Format(at, length)),
        2 => (any::<u32>(), any::<u32>()).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => ("[a-c]", value()).prop_map(|(key, value)| Edit::Set(key, value)),
        1 => any::<u32>().prop_map(Edit::Nest),
        1 => "[a-c]{1,3}".prop_map(Edit::Element),
        3 => (0..CLIENTS).prop_map(Edit::Receive),
    ]
}

/// Applies an edit of one of the clients. The result is the update that it would send.
fn apply(documents: &[Doc], client: usize, edit: &Edit) -> Vec<u8> {
    let document = &documents[client];
    let (text, map) = (document.get_or_insert_text("t"), document.get_or_insert_map("m"));
    let (array, xml) = (document.get_or_insert_array("a"), document.get_or_insert_xml_fragment("x"));
    let received = match edit {
        Edit::Receive(from) => {
            let known = document.transact().state_vector();
            Some(documents[*from].transact().encode_state_as_update_v1(&known))
        }
        _ => None,
    };
    let mut transaction = document.transact_mut();
    let length = text.len(&transaction);
    let range = |at: u32, count: u32| (at % (length + 1), count % (length - at % (length + 1) + 1));
    match edit {
        Edit::Insert(at, content) => text.insert(&mut transaction, at % (length + 1), content),
        Edit::Format(at, count) => {
            let (at, count) = range(*at, *count);
            text.format(&mut transaction, at, count, Attrs::from([("bold".into(), Any::Bool(true))]));
        }
        Edit::Delete(at, count) => {
            let (at, count) = range(*at, *count);
            text.remove_range(&mut transaction, at, count);
        }
        Edit::Set(key, value) => _ = map.insert(&mut transaction, key.as_str(), value.clone()),
        Edit::Nest(number) if number % 2 == 0 => {
            _ = map.insert(&mut transaction, "n", ArrayPrelim::from([1, 2]));
        }
        Edit::Nest(_) => _ = array.push_back(&mut transaction, TextPrelim::new("nested")),
        Edit::Element(name) => {
            _ = xml.push_back(&mut transaction, XmlElementPrelim::empty(name.as_str()));
        }
        Edit::Receive(_) => {
            let update = Update::decode_v1(&received.unwrap_or_default()).unwrap();
            transaction.apply_update(update).unwrap();
        }
    }
    transaction.encode_update_v1()
}

fn documents() -> Vec<Doc> {
    let document = |client: usize| {
        let options = Options::with_client_id(ClientID::new(1 << (8 * client)));
        Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..options })
    };
    (0..CLIENTS).map(document).collect()
}

/// It is accepted, and no beginning of it is.
fn check(update: &[u8]) -> Result<(), TestCaseError> {
    let read = DocumentUpdate::decode(update);
    prop_assert!(read.is_ok(), "{:?}: {:?}", read, update);
    for length in 0..update.len().min(300) {
        let cut = DocumentUpdate::decode(&update[..length]);
        prop_assert!(matches!(cut, Err(YjsError::Field(_))), "{:?}: {:?}", cut, &update[..length]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_yrs_writes_is_accepted(edits in vec((0..CLIENTS, edit()), 1..40)) {
        let documents = documents();
        let mut updates = Vec::new();
        for (client, edit) in &edits {
            let update = apply(&documents, *client, edit);
            check(&update)?;
            updates.push(update);
        }
        // Without some of them, so that the result has gaps.
        let some: Vec<_> = updates.iter().step_by(3).cloned().collect();
        check(&merge_updates_v1(&some).unwrap())?;
        let late = Doc::new();
        for update in some {
            late.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
        }
        check(&late.transact().encode_state_as_update_v1(&yrs::StateVector::default()))?;
        check(&merge_updates_v1(&updates).unwrap())?;

        for document in &documents {
            let transaction = document.transact();
            let (known, state) = (transaction.state_vector(), transaction.state_vector().encode_v1());
            let mut expected: Vec<_> = known.iter().map(|(client, clock)| (client.get(), *clock)).collect();
            let mut clocks: Vec<_> = StateVector::decode(&state).unwrap().entries().collect();
            let whole = transaction.encode_state_as_update_v1(&yrs::StateVector::default());
            check(&whole)?;
            let update = DocumentUpdate::decode(&whole).unwrap();
            let mut ends: Vec<_> =
                update.sections().iter().map(|section| (section.client, section.end)).collect();
            for list in [&mut expected, &mut clocks, &mut ends] {
                list.sort_unstable();
            }
            prop_assert_eq!(&clocks, &expected);
            prop_assert_eq!(&ends, &expected);
        }
    }
}
