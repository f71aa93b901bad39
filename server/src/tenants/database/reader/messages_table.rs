//! A partition of `realtime.messages` in the log: where its columns are, and what a row of it says.

use std::borrow::Cow;

use hub::Privacy;
use wire::pgoutput::{Relation, Row, Value};

use super::database_message::{DatabaseMessage, DatabasePayload, DroppedMessage};

const SCHEMA: &str = "realtime";

/// The name of the table, and the beginning of those of its partitions.
const TABLE: &str = "messages";

/// The columns that are read.
const COLUMNS: [&str; 7] = ["inserted_at", "event", "id", "topic", "private", "payload", "binary_payload"];

/// Why a row without a value for a column is dropped, in upstream's words.
const MISSING: [&str; 5] =
    ["inserted_at_missing", "event_missing", "id_missing", "topic_missing", "private_missing"];

/// Where the columns of a table are.
#[derive(Debug)]
pub(super) struct MessagesTable {
    /// For each column of a row which of [`COLUMNS`] it is.
    columns: Vec<Option<usize>>,
}

/// A row of it.
pub(super) struct MessageRow<'a> {
    inserted_at: &'a str,
    id: &'a str,
    topic: &'a str,
    event: &'a str,
    payload: RowPayload<'a>,
    privacy: Privacy,
}

enum RowPayload<'a> {
    Json(&'a str),
    Bytes(Cow<'a, [u8]>),
}

impl MessagesTable {
    /// `None` for another table.
    pub(super) fn of(relation: &Relation<'_>) -> Option<Self> {
        let rest = relation.name.strip_prefix(TABLE)?;
        let is_partition = rest.is_empty() || rest.starts_with('_');
        if relation.namespace != SCHEMA || !is_partition {
            return None;
        }
        let columns = relation.columns.iter();
        let columns = columns.map(|column| COLUMNS.iter().position(|name| *name == column.name)).collect();
        Some(Self { columns })
    }

    /// Reads a row.
    ///
    /// # Errors
    /// The first value that is missing. Payload and names have at most `bytes_max` together.
    pub(super) fn read<'a>(&self, row: Row<'a>, bytes_max: usize) -> Result<MessageRow<'a>, DroppedMessage> {
        let mut values: [Option<&'a [u8]>; COLUMNS.len()] = Default::default();
        for (value, column) in row.values().zip(&self.columns) {
            if let (Value::Text(text), Some(column)) = (value, column) {
                values[*column] = Some(text);
            }
        }
        for (value, reason) in values.iter().zip(MISSING) {
            if value.is_none() {
                return Err(DroppedMessage(reason));
            }
        }
        let text = |index: usize| {
            let value = values[index].unwrap_or_default();
            std::str::from_utf8(value).map_err(|_not_text| DroppedMessage("not_utf8"))
        };
        // Before anything is decoded: the time of a large row would be that of other tenants.
        let payload_bytes =
            values[6].map_or_else(|| values[5].map_or(0, <[u8]>::len), |digits| digits.len() / 2);
        if payload_bytes + [1, 3].iter().filter_map(|&name| values[name]).map(<[u8]>::len).sum::<usize>()
            > bytes_max
        {
            return Err(DroppedMessage("payload_size_exceeded"));
        }
        if values[3].is_some_and(<[u8]>::is_empty) {
            return Err(DroppedMessage("topic_missing"));
        }
        let payload = match (values[6], values[5]) {
            (Some(bytes), _) => RowPayload::Bytes(unescaped(bytes).ok_or(DroppedMessage("payload_missing"))?),
            (None, Some(_)) => RowPayload::Json(text(5)?),
            (None, None) => return Err(DroppedMessage("payload_missing")),
        };
        let privacy = if text(4)? == "t" { Privacy::Private } else { Privacy::Public };
        let (inserted_at, id) = (text(0)?, text(2)?);
        Ok(MessageRow { inserted_at, id, topic: text(3)?, event: text(1)?, payload, privacy })
    }
}

impl MessageRow<'_> {
    /// When it was inserted, as the database writes it.
    pub(super) fn inserted_at(&self) -> &str {
        self.inserted_at
    }

    pub(super) fn as_message(&self) -> DatabaseMessage<'_> {
        let payload = match &self.payload {
            RowPayload::Json(text) => DatabasePayload::Json(text),
            RowPayload::Bytes(bytes) => DatabasePayload::Bytes(bytes),
        };
        DatabaseMessage { id: self.id, topic: self.topic, event: self.event, payload, privacy: self.privacy }
    }
}

/// The bytes of a `bytea` in hexadecimal form.
fn unescaped(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let digits = text.strip_prefix(b"\\x")?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<Vec<_>>>()
        .map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_from_hexadecimal_digits() {
        assert_eq!(unescaped(b"\\x00fF10").as_deref(), Some(&[0, 255, 16][..]));
        assert_eq!(unescaped(b"\\x").as_deref(), Some(&[][..]));
        for damaged in [&b"00"[..], b"\\x0", b"\\x0g"] {
            assert_eq!(unescaped(damaged), None);
        }
    }
}
