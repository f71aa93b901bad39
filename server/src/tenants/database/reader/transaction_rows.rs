//! Counts the rows of the transaction that is being received, so that those that an earlier session has handed on are left out.

use wire::pgoutput::{self, LogMessage, Lsn, PgoutputError};

use crate::tenants::database::change_progress::PartialTransaction;

/// The transaction that is being received.
#[derive(Debug, Default)]
pub(super) struct TransactionRows {
    received: Option<PartialTransaction>,
    /// What is handled of one that is received again.
    handled: Option<PartialTransaction>,
}

/// What a message means for transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotedMessage {
    /// One begins, whose commit is there in the log.
    Begin {
        commit: Lsn,
    },
    /// It ends before this position.
    Commit {
        end: Lsn,
    },
    /// A row that is handled already.
    HandledRow,
    Other,
}

impl TransactionRows {
    /// In a session after those that have handled a part of a transaction.
    pub(super) fn after(handled: Option<PartialTransaction>) -> Self {
        Self { received: None, handled }
    }

    /// What was received of a transaction that has not ended.
    pub(super) fn partial(&self) -> Option<PartialTransaction> {
        // Until what is handled is received again, it is what is handled.
        match (self.received, self.handled) {
            (Some(received), Some(handled)) if received.rows < handled.rows => Some(handled),
            (received, handled) => received.or(handled),
        }
    }

    /// Notes a message. Those that are neither the begin nor the end of a transaction are not decoded.
    pub(super) fn note(&mut self, message: &[u8]) -> Result<NotedMessage, PgoutputError> {
        match message.first() {
            Some(b'B' | b'C') => self.note_boundary(&pgoutput::decode(message)?),
            Some(b'I' | b'U' | b'D' | b'T') => Ok(self.note_row()),
            _ => Ok(NotedMessage::Other),
        }
    }

    fn note_boundary(&mut self, message: &LogMessage<'_>) -> Result<NotedMessage, PgoutputError> {
        match message {
            LogMessage::Begin(begin) => {
                let commit = begin.final_lsn;
                self.handled = self.handled.filter(|handled| handled.commit == commit);
                self.received = Some(PartialTransaction { commit, rows: 0 });
                Ok(NotedMessage::Begin { commit })
            }
            LogMessage::Commit(commit) => {
                (self.received, self.handled) = (None, None);
                Ok(NotedMessage::Commit { end: commit.end_lsn })
            }
            _ => Ok(NotedMessage::Other),
        }
    }

    fn note_row(&mut self) -> NotedMessage {
        let Some(received) = &mut self.received else { return NotedMessage::Other };
        received.rows += 1;
        match self.handled {
            Some(handled) if received.rows <= handled.rows => NotedMessage::HandledRow,
            _ => NotedMessage::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(commit: u64) -> Vec<u8> {
        [&b"B"[..], &commit.to_be_bytes(), &[0; 12]].concat()
    }

    #[test]
    fn rows_that_are_handled_are_left_out_of_the_transaction_that_has_them() {
        let partial = |commit, rows| PartialTransaction { commit: Lsn(commit), rows };
        let mut first = TransactionRows::default();
        first.note(&begin(7)).unwrap();
        assert_eq!([first.note(b"I").unwrap(), first.note(b"R").unwrap()], [NotedMessage::Other; 2]);
        assert_eq!(first.partial(), Some(partial(7, 1)));
        let mut again = TransactionRows::after(first.partial());
        assert_eq!(again.partial(), Some(partial(7, 1)), "nothing is forgotten until it is received");
        assert_eq!(again.note(&begin(7)).unwrap(), NotedMessage::Begin { commit: Lsn(7) });
        assert_eq!(again.partial(), Some(partial(7, 1)), "nor until then");
        assert_eq!(
            [again.note(b"I").unwrap(), again.note(b"U").unwrap()],
            [NotedMessage::HandledRow, NotedMessage::Other]
        );
        assert_eq!(again.partial(), Some(partial(7, 2)));
        let mut other = TransactionRows::after(first.partial());
        other.note(&begin(8)).unwrap();
        assert_eq!(other.note(b"I").unwrap(), NotedMessage::Other);
    }
}
