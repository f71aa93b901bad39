//! Changes of tables among nodes.

use hub::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;
use wire::relay::{self, Changes, ChangesBuilder, Malformed};
use wire::supabase::changes::ChangeType;

/// A change, its data, and its receivers.
type Plain = (ChangeType, String, Vec<(u64, Vec<u32>)>);

fn message(sender: u64, changes: &[Plain]) -> Vec<u8> {
    let mut message = ChangesBuilder::new(NodeId::new(sender));
    assert!(message.is_empty());
    for (change, data, groups) in changes {
        let groups: Vec<_> = groups.iter().map(|(key, ids)| (*key, &**ids)).collect();
        assert!(message.push(*change, data, &groups));
        assert!(!message.is_empty());
    }
    let bytes = message.len();
    let message = message.finish();
    assert_eq!(message.len(), bytes);
    message
}

fn plain(changes: Changes<'_>) -> Vec<Plain> {
    let change = |change: relay::RelayedChange<'_>| {
        let groups = change.groups.map(|group| (group.key, group.ids.collect())).collect();
        (change.change, change.data.to_owned(), groups)
    };
    changes.map(change).collect()
}

#[test]
fn a_message_has_the_documented_bytes() {
    let bytes = message(9, &[(ChangeType::Update, "{}".to_owned(), vec![(5, vec![7])])]);
    let expected = b"\x01\x07\0\0\0\0\0\0\0\x09\
                     \0\0\0\x17\x01\0\0\0\x02{}\
                     \0\0\0\0\0\0\0\x05\0\0\0\x01\0\0\0\x07";
    assert_eq!(bytes, expected);
}

#[test]
fn nodes_that_know_only_messages_about_rooms_ignore_changes() {
    assert_eq!(relay::decode(&message(9, &[])), Err(Malformed::Kind(7)));
    let events = relay::events(NodeId::new(9), []);
    assert_eq!(relay::decode_changes(&events), Err(Malformed::Kind(1)));
}

#[test]
fn what_is_malformed_is_an_error() {
    let header = b"\x01\x07\0\0\0\0\0\0\0\x09";
    let error = |change: &[u8]| {
        let length = (change.len() as u32).to_be_bytes();
        relay::decode_changes(&[&header[..], &length, change].concat()).map(|_| ())
    };
    assert_eq!(error(b"\0\0\0\0\x02{}"), Ok(()));
    assert_eq!(error(b"\x03\0\0\0\x02{}"), Err(Malformed::Kind(3)));
    assert_eq!(error(b"\0\0\0\0\x03{}"), Err(Malformed::Truncated));
    assert_eq!(error(b"\0\0\0\0\x01\xFF"), Err(Malformed::NotText));
    assert_eq!(error(b"\0\0\0\0\0\0\0\0\0\0\0\0\x05\xFF\xFF\xFF\xFF"), Err(Malformed::Truncated));
    assert_eq!(relay::decode_changes(b"\x02\x07").map(|_| ()), Err(Malformed::Version(2)));
    assert_eq!(
        relay::decode_changes(&[&header[..], b"\0\0\0\x09"].concat()).map(|_| ()),
        Err(Malformed::Truncated)
    );
}

fn change_type() -> impl Strategy<Value = ChangeType> {
    prop_oneof![Just(ChangeType::Insert), Just(ChangeType::Update), Just(ChangeType::Delete)]
}

proptest! {
    #[test]
    fn decode_undoes_encode(
        sender in any::<u64>(),
        changes in vec((change_type(), ".*", vec((any::<u64>(), vec(any::<u32>(), 0..5)), 0..5)), 0..5),
    ) {
        let message = message(sender, &changes);
        let (from, read) = relay::decode_changes(&message).unwrap();
        prop_assert_eq!(from, NodeId::new(sender));
        prop_assert_eq!(plain(read), changes);
    }
}
