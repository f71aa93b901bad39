//! A connection in the replication mode of PostgreSQL: its start, statements, and the start of the stream.
//!
//! Source: the PostgreSQL manual, «Frontend/Backend Protocol» and «Streaming Replication Protocol».

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use pgwire_replication::protocol::BackendMessage;
use pgwire_replication::protocol::framing::{
    write_copy_data, write_password_message, write_query, write_startup_message,
};
use tokio::io::AsyncReadExt as _;
use wire::pgoutput::Lsn;

use super::received::Received;
use super::tls::Transport;
use super::{LogError, LogOptions, SERVER_TIMEOUT, tls};

/// Version 3.0 of the protocol.
const PROTOCOL_VERSION: i32 = 3 << 16;

/// The kinds of messages that matter here.
pub(super) mod kind {
    pub(in super::super) const AUTHENTICATION: u8 = b'R';
    pub(in super::super) const COPY_BOTH: u8 = b'W';
    pub(in super::super) const COPY_DATA: u8 = b'd';
    pub(in super::super) const COPY_DONE: u8 = b'c';
    pub(in super::super) const DATA_ROW: u8 = b'D';
    pub(in super::super) const ERROR: u8 = b'E';
    pub(in super::super) const READY: u8 = b'Z';
}

/// The columns of a row, `None` for NULL.
pub(super) type FirstRow = Vec<Option<Bytes>>;

/// A connection whose messages are read whole.
pub(super) struct LogConnection {
    stream: Box<dyn Transport>,
    received: Received,
}

impl LogConnection {
    /// Connects, and begins the session. The server asks for authentication next.
    pub(super) async fn open(options: &LogOptions) -> Result<Self, LogError> {
        let stream = tls::connect(options).await?;
        let mut connection = Self { stream, received: Received::new(options.message_bytes_max) };
        let parameters = [
            ("user", &*options.user),
            ("database", &options.database),
            ("replication", "database"),
            ("client_encoding", "UTF8"),
            ("application_name", options.application_name),
            ("options", &session_settings(options.slot_timeout)),
        ];
        write_startup_message(&mut connection.stream, PROTOCOL_VERSION, &parameters).await?;
        Ok(connection)
    }

    /// Runs a statement. Returns its first row.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Option<FirstRow>, LogError> {
        write_query(&mut self.stream, sql).await?;
        let (mut row, mut error) = (None, None);
        loop {
            let message = self.receive().await?;
            match message.tag {
                kind::DATA_ROW if row.is_none() => row = Some(read_row(message.payload)?),
                kind::ERROR => error = Some(LogError::from_response(&message.payload)),
                kind::READY => return error.map_or(Ok(row), Err),
                _ => {}
            }
        }
    }

    /// Starts the stream of the slot at a position, or where the slot begins if that is later. Afterwards both sides send copy data.
    pub(super) async fn start_stream(&mut self, options: &LogOptions, position: Lsn) -> Result<(), LogError> {
        let names: Vec<_> = options.publications.iter().map(|name| identifier(name)).collect();
        let start = format!(
            "START_REPLICATION SLOT {} LOGICAL {position} (proto_version '1', publication_names {})",
            identifier(&options.slot),
            literal(&names.join(","))
        );
        write_query(&mut self.stream, &start).await?;
        self.until(kind::COPY_BOTH).await
    }

    /// The next message. May be cancelled without losing a part of it.
    pub(super) async fn receive(&mut self) -> Result<BackendMessage, LogError> {
        loop {
            if let Some(message) = self.received()? {
                return Ok(message);
            }
            self.read().await?;
        }
    }

    /// The next message, if it was read already.
    pub(super) fn received(&mut self) -> Result<Option<BackendMessage>, LogError> {
        self.received.next()
    }

    /// Waits until something can be read, and reads as much as there is, within bounds. May be cancelled without losing it.
    pub(super) async fn read(&mut self) -> Result<(), LogError> {
        let read = self.stream.read_buf(self.received.space()?).await;
        match read.map_err(|error| LogError::from_io(Arc::new(error)))? {
            0 => Err(LogError::Closed),
            _ => Ok(()),
        }
    }

    pub(super) async fn send_password(&mut self, payload: &[u8]) -> Result<(), LogError> {
        Ok(write_password_message(&mut self.stream, payload).await?)
    }

    pub(super) async fn send_copy_data(&mut self, payload: &[u8]) -> Result<(), LogError> {
        Ok(write_copy_data(&mut self.stream, payload).await?)
    }

    /// Reads until a message of this kind; others report parameters or are notices.
    pub(super) async fn until(&mut self, expected: u8) -> Result<(), LogError> {
        loop {
            let message = self.receive().await?;
            match message.tag {
                tag if tag == expected => return Ok(()),
                kind::ERROR => return Err(LogError::from_response(&message.payload)),
                _ => {}
            }
        }
    }
}

/// What is set for the session, whatever the defaults of the role and the database are.
///
/// The formats are those in which rows are read. The timeouts end the session, and free the lock, of a process that does not
/// continue: `idle_session_timeout` until the stream starts, `wal_sender_timeout` from then on. `lock_timeout` applies to the
/// creation of the slot, which waits for the locks of open transactions.
fn session_settings(slot_timeout: Duration) -> String {
    let silence = SERVER_TIMEOUT.as_millis();
    let settings = [
        ("TimeZone", "UTC".to_owned()),
        ("DateStyle", "ISO".to_owned()),
        ("IntervalStyle", "postgres".to_owned()),
        ("extra_float_digits", "1".to_owned()),
        ("bytea_output", "hex".to_owned()),
        ("jit", "off".to_owned()),
        ("statement_timeout", "0".to_owned()),
        ("lock_timeout", slot_timeout.as_millis().to_string()),
        ("idle_session_timeout", silence.to_string()),
        ("wal_sender_timeout", silence.to_string()),
    ];
    settings.map(|(name, value)| format!("-c {name}={value}")).join(" ")
}

/// A name in SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Reads a `DataRow`.
fn read_row(mut payload: Bytes) -> Result<FirstRow, LogError> {
    let too_short = || LogError::Protocol("a row ends too early".into());
    let count = payload.try_get_u16().map_err(|_too_short| too_short())?;
    let columns = (0..count).map(|_| {
        let length = payload.try_get_i32().map_err(|_too_short| too_short())?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if length > payload.len() {
            return Err(too_short());
        }
        Ok(Some(payload.split_to(length)))
    });
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_and_a_damaged_one_is_an_error() {
        let row = read_row(Bytes::from_static(b"\0\x02\0\0\0\x01t\xFF\xFF\xFF\xFF")).unwrap();
        assert_eq!(row, [Some(Bytes::from_static(b"t")), None]);
        for damaged in [&b""[..], b"\0", b"\0\x01", b"\0\x01\0\0\0\x02t"] {
            assert!(read_row(Bytes::copy_from_slice(damaged)).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
