//! Messages of PostgreSQL's output plugin.

use wire::pgoutput::{LogMessage, Lsn, OldRow, ReplicaIdentity, Row, Value, decode};

/// One message. What is read can be written again, in as many bytes and with the same meaning: nothing is lost or made up.
pub fn pgoutput(data: &[u8]) {
    let Ok(message) = decode(data) else { return };
    let again = write(&message);
    assert_eq!(again.len(), data.len());
    assert_eq!(decode(&again).as_ref(), Ok(&message));
}

/// Writes a message as the manual of PostgreSQL describes it, sharing no code with `wire`.
pub fn write(message: &LogMessage<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        LogMessage::Begin(begin) => {
            out.push(b'B');
            lsn(&mut out, begin.final_lsn);
            out.extend(begin.committed_at.to_be_bytes());
            out.extend(begin.transaction_id.to_be_bytes());
        }
        LogMessage::Commit(commit) => {
            out.extend([b'C', 0]);
            lsn(&mut out, commit.lsn);
            lsn(&mut out, commit.end_lsn);
            out.extend(commit.committed_at.to_be_bytes());
        }
        LogMessage::Origin(origin) => {
            out.push(b'O');
            lsn(&mut out, origin.lsn);
            text(&mut out, origin.name);
        }
        LogMessage::Relation(relation) => {
            out.push(b'R');
            out.extend(relation.id.to_be_bytes());
            text(&mut out, relation.namespace);
            text(&mut out, relation.name);
            out.push(match relation.replica_identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            });
            out.extend((relation.columns.len() as u16).to_be_bytes());
            for column in &relation.columns {
                out.push(column.is_key.into());
                text(&mut out, column.name);
                out.extend(column.type_id.to_be_bytes());
                out.extend(column.type_modifier.to_be_bytes());
            }
        }
        LogMessage::Type(of) => {
            out.push(b'Y');
            out.extend(of.id.to_be_bytes());
            text(&mut out, of.namespace);
            text(&mut out, of.name);
        }
        LogMessage::Insert(insert) => {
            out.push(b'I');
            out.extend(insert.relation.to_be_bytes());
            row(&mut out, b'N', insert.new);
        }
        LogMessage::Update(update) => {
            out.push(b'U');
            out.extend(update.relation.to_be_bytes());
            if let Some(old) = update.old {
                old_row(&mut out, old);
            }
            row(&mut out, b'N', update.new);
        }
        LogMessage::Delete(delete) => {
            out.push(b'D');
            out.extend(delete.relation.to_be_bytes());
            old_row(&mut out, delete.old);
        }
        LogMessage::Truncate(truncate) => {
            out.push(b'T');
            out.extend((truncate.relations.len() as u32).to_be_bytes());
            out.push(u8::from(truncate.cascade) + 2 * u8::from(truncate.restart_identity));
            out.extend(truncate.relations.iter().flat_map(|id| id.to_be_bytes()));
        }
        LogMessage::Emitted(message) => {
            out.extend([b'M', message.is_transactional.into()]);
            lsn(&mut out, message.lsn);
            text(&mut out, message.prefix);
            bytes(&mut out, message.content);
        }
    }
    out
}

fn lsn(out: &mut Vec<u8>, lsn: Lsn) {
    out.extend(lsn.0.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes());
    out.push(0);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn old_row(out: &mut Vec<u8>, old: OldRow<'_>) {
    match old {
        OldRow::Key(key) => row(out, b'K', key),
        OldRow::Full(full) => row(out, b'O', full),
    }
}

fn row(out: &mut Vec<u8>, kind: u8, row: Row<'_>) {
    out.push(kind);
    out.extend((row.len() as u16).to_be_bytes());
    for value in row.values() {
        match value {
            Value::Null => out.push(b'n'),
            Value::Unchanged => out.push(b'u'),
            Value::Text(content) => {
                out.push(b't');
                bytes(out, content);
            }
            Value::Binary(content) => {
                out.push(b'b');
                bytes(out, content);
            }
        }
    }
}
