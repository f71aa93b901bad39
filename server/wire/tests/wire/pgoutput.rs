//! Messages of PostgreSQL's output plugin, their bytes written by hand from its manual.

use proptest::collection::vec;
use proptest::prelude::*;
use wire::pgoutput::{
    Begin, COLUMNS_MAX, Column, Commit, EmittedMessage, LogMessage, Lsn, OldRow, Origin, PgoutputError,
    ReplicaIdentity, Row, RowBuffer, Truncate, Type, Value, decode,
};

use crate::fuzz;

/// The table that the rows belong to.
const TABLE: [u8; 4] = [0, 0, 0x40, 1];
const TABLE_ID: u32 = 0x4001;

fn values<'a>(row: Row<'a>) -> Vec<Value<'a>> {
    let values: Vec<_> = row.values().collect();
    assert_eq!((row.len(), row.is_empty()), (values.len(), values.is_empty()));
    values
}

#[test]
fn a_transaction_has_a_beginning_and_an_end() {
    let begin = b"B\0\0\0\x16\xB3\x74\xD8\x48\0\0\0\0\0\0\0\x2A\0\0\x02\xE6";
    let expected = Begin { final_lsn: Lsn(0x16_B374_D848), committed_at: 42, transaction_id: 742 };
    assert_eq!(decode(begin), Ok(LogMessage::Begin(expected)));

    let commit = b"C\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    let expected = Commit { lsn: Lsn(1), end_lsn: Lsn(2), committed_at: -1 };
    assert_eq!(decode(commit), Ok(LogMessage::Commit(expected)));

    let origin = b"O\0\0\0\0\0\0\0\x05other\0";
    assert_eq!(decode(origin), Ok(LogMessage::Origin(Origin { lsn: Lsn(5), name: "other" })));
}

#[test]
fn a_table_is_described_by_its_columns() {
    let bytes = b"R\0\0\x40\x01public\0todos\0d\0\x02\
                  \x01id\0\0\0\0\x14\xFF\xFF\xFF\xFF\
                  \0details\0\0\0\x04\x13\0\0\0\x18";
    let Ok(LogMessage::Relation(relation)) = decode(bytes) else { panic!("a table") };
    assert_eq!((relation.id, relation.namespace, relation.name), (TABLE_ID, "public", "todos"));
    assert_eq!(relation.replica_identity, ReplicaIdentity::Default);
    let columns = [
        Column { is_key: true, name: "id", type_id: 20, type_modifier: -1 },
        Column { is_key: false, name: "details", type_id: 1043, type_modifier: 24 },
    ];
    assert_eq!(relation.columns, columns);

    let mood = b"Y\0\0\x40\x06public\0mood\0";
    let expected = Type { id: 0x4006, namespace: "public", name: "mood" };
    assert_eq!(decode(mood), Ok(LogMessage::Type(expected)));
}

#[test]
fn each_replica_identity_is_known() {
    let with = |identity: u8| [b"R\0\0\0\x01\0t\0", &[identity, 0, 0][..]].concat();
    let identity = |byte| match decode(&with(byte)) {
        Ok(LogMessage::Relation(relation)) => Ok(relation.replica_identity),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(identity(b'd'), Ok(ReplicaIdentity::Default));
    assert_eq!(identity(b'n'), Ok(ReplicaIdentity::Nothing));
    assert_eq!(identity(b'f'), Ok(ReplicaIdentity::Full));
    assert_eq!(identity(b'i'), Ok(ReplicaIdentity::Index));
    assert_eq!(identity(b'x'), Err(PgoutputError::ReplicaIdentity(b'x')));
}

#[test]
fn a_new_row_has_values_of_every_kind() {
    let bytes = b"I\0\0\x40\x01N\0\x05t\0\0\0\x02hinut\0\0\0\0b\0\0\0\x01\xFF";
    let Ok(LogMessage::Insert(insert)) = decode(bytes) else { panic!("a new row") };
    assert_eq!(insert.relation, TABLE_ID);
    let expected =
        [Value::Text(b"hi"), Value::Null, Value::Unchanged, Value::Text(b""), Value::Binary(&[0xFF])];
    assert_eq!(values(insert.new), expected);
}

#[test]
fn a_change_may_have_the_key_or_the_whole_of_the_old_row() {
    let old = |bytes: &[u8]| match decode(&[b"U", &TABLE[..], bytes, b"N\0\x01t\0\0\0\x01b"].concat()) {
        Ok(LogMessage::Update(update)) => {
            assert_eq!((update.relation, values(update.new)), (TABLE_ID, vec![Value::Text(b"b")]));
            update.old.map(|old| match old {
                OldRow::Key(row) => ("key", row.values().count()),
                OldRow::Full(row) => ("full", row.values().count()),
            })
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(old(b""), None);
    assert_eq!(old(b"K\0\x02t\0\0\0\x01an"), Some(("key", 2)));
    assert_eq!(old(b"O\0\x01t\0\0\0\x01a"), Some(("full", 1)));
}

#[test]
fn a_value_that_an_update_does_not_change_may_be_only_in_the_old_row() {
    let bytes = b"U\0\0\x40\x01O\0\x02t\0\0\0\x01at\0\0\0\x04longN\0\x02t\0\0\0\x01bu";
    let Ok(LogMessage::Update(update)) = decode(bytes) else { panic!("an update") };
    assert_eq!(values(update.new), [Value::Text(b"b"), Value::Unchanged]);
    assert_eq!(values(update.old.unwrap().row()), [Value::Text(b"a"), Value::Text(b"long")]);
}

#[test]
fn a_deletion_has_the_key_or_the_whole_row() {
    let deleted = |bytes: &[u8]| decode(&[b"D", &TABLE[..], bytes].concat()).map(|_| ());
    let Ok(LogMessage::Delete(delete)) = decode(b"D\0\0\x40\x01K\0\x01t\0\0\0\x017") else { panic!() };
    assert!(matches!(delete.old, OldRow::Key(row) if values(row) == [Value::Text(b"7")]));
    assert_eq!(deleted(b"O\0\x01n"), Ok(()));
    assert_eq!(deleted(b"N\0\x01n"), Err(PgoutputError::RowKind(b'N')));
}

#[test]
fn emptied_tables_are_listed() {
    let expected = Truncate { relations: vec![TABLE_ID, 2], cascade: false, restart_identity: true };
    assert_eq!(decode(b"T\0\0\0\x02\x02\0\0\x40\x01\0\0\0\x02"), Ok(LogMessage::Truncate(expected)));
}

#[test]
fn a_message_of_the_application_has_a_prefix() {
    let bytes = b"M\x01\0\0\0\0\0\0\0\x07app\0\0\0\0\x02\xFF\0";
    let expected = EmittedMessage { is_transactional: true, lsn: Lsn(7), prefix: "app", content: &[0xFF, 0] };
    assert_eq!(decode(bytes), Ok(LogMessage::Emitted(expected)));
}

#[test]
fn what_is_malformed_is_an_error() {
    let insert = |row: &[u8]| decode(&[b"I", &TABLE[..], row].concat()).map(|_| ());
    assert_eq!(decode(b"").map(|_| ()), Err(PgoutputError::Truncated));
    assert_eq!(decode(b"S\0\0\0\0\0").map(|_| ()), Err(PgoutputError::Kind(b'S')));
    assert_eq!(decode(b"Y\0\0\0\0a\0\xFF\0").map(|_| ()), Err(PgoutputError::NotText));
    assert_eq!(decode(b"Y\0\0\0\0a\0b").map(|_| ()), Err(PgoutputError::Truncated), "no end of the name");
    assert_eq!(insert(b"N\0\x01n!"), Err(PgoutputError::TooLong));
    assert_eq!(insert(b"O\0\x01n"), Err(PgoutputError::RowKind(b'O')));
    assert_eq!(insert(b"N\0\x01x"), Err(PgoutputError::ValueKind(b'x')));
    assert_eq!(insert(b"N\xFF\xFF"), Err(PgoutputError::Columns(-1)));
    assert_eq!(insert(b"N\0\x02n"), Err(PgoutputError::Truncated), "fewer values than columns");
    assert_eq!(insert(b"N\0\x01t\xFF\xFF\xFF\xFF"), Err(PgoutputError::Truncated), "a negative length");
    assert_eq!(insert(b"N\0\x01t\x7F\xFF\xFF\xFFx"), Err(PgoutputError::Truncated), "a length of 2 GiB");
    assert_eq!(decode(b"T\x7F\xFF\xFF\xFF\0").map(|_| ()), Err(PgoutputError::Truncated), "2 billion tables");
}

#[test]
fn a_row_has_no_more_columns_than_postgresql_allows() {
    let row = |count: usize| {
        let values = vec![b'n'; count];
        decode(&[b"I\0\0\x40\x01N", &(count as u16).to_be_bytes()[..], &values].concat()).map(|_| ())
    };
    assert_eq!(row(COLUMNS_MAX), Ok(()));
    assert_eq!(row(COLUMNS_MAX + 1), Err(PgoutputError::Columns(1665)));
}

#[test]
fn a_row_does_not_show_its_values_in_a_log() {
    let Ok(message) = decode(b"I\0\0\x40\x01N\0\x01t\0\0\0\x06secret") else { panic!("a row") };
    assert!(!format!("{message:?}").contains("115"), "{message:?}");
}

/// Bytes that are nearly a message, so that more than the first byte is read.
fn almost_message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            &b"B"[..],
            b"C",
            b"O",
            b"R",
            b"Y",
            b"I",
            b"U",
            b"D",
            b"T",
            b"M",
            b"N",
            b"K",
            b"t",
            b"n",
            b"u",
            b"b",
            b"d",
            b"f",
            b"\0",
            b"\0\x01",
            b"\0\x02",
            b"\0\0\0\x02",
            b"name\0",
            b"\xFF\xFF\xFF\xFF",
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..9),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop_oneof![vec(any::<u8>(), 0..200), almost_message()]) {
        fuzz::pgoutput(&bytes);
    }

    /// Each corpus file with some bytes changed or cut off.
    #[test]
    fn a_damaged_message_is_read_without_panic(
        file in 0..CORPUS_FILES_MIN, changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        length in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = corpus().swap_remove(file);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(length.index(bytes.len()) + 1);
        fuzz::pgoutput(&bytes);
    }
}

const CORPUS_FILES_MIN: usize = 20;

fn corpus() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/pgoutput");
    let files = std::fs::read_dir(folder).expect("a corpus");
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_row_that_is_put_together_has_its_values() {
    let all = [Value::Null, Value::Unchanged, Value::Text(b"x"), Value::Binary(b"\0"), Value::Text(b"")];
    let buffer = RowBuffer::new(all);
    assert_eq!((buffer.row().len(), values(buffer.row())), (5, all.to_vec()));
    assert!(RowBuffer::new([]).row().is_empty());
}
