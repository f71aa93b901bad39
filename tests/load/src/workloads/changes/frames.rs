//! What subscribers receive: the number of a row, and what is said of their subscription.

use anyhow::{Result, ensure};

use super::super::database::arrivals::{Content, leading_number};
use crate::connection::Listener;
use crate::message::opcode;

/// What precedes the number in a change: the primary key is the first column.
const RECORD: &str = r#""record":{"id":"#;

/// In messages of the server about other things than changes, such as broadcasts from the database.
const OF_OTHERS: &str = r#""extension":"system""#;

const SUBSCRIBED: &str = "Subscribed to PostgreSQL";

const OVER_RATE: &str = "Too many postgres changes messages per second";

/// What a frame is, if nothing but rows is expected.
pub fn row(kind: u8, body: &[u8]) -> Content {
    let Some(text) = text(kind, body) else { return Content::Unexpected };
    let number = text.find(RECORD).and_then(|at| leading_number(&body[at + RECORD.len()..]));
    match number {
        Some(number) => Content::Number(number),
        None if text.contains(OF_OTHERS) => Content::Other,
        None => Content::Unexpected,
    }
}

/// Whether a frame says that changes are dropped because of the rate.
pub fn is_over_rate(kind: u8, body: &[u8]) -> bool {
    text(kind, body).is_some_and(|text| text.contains(OVER_RATE))
}

fn text(kind: u8, body: &[u8]) -> Option<&str> {
    (kind == opcode::TEXT).then(|| std::str::from_utf8(body).ok()).flatten()
}

/// Clients whose subscription is not complete yet.
pub struct Subscribing {
    missing: usize,
    fault: Option<String>,
}

impl Subscribing {
    /// So many.
    pub fn of(clients: usize) -> Self {
        Self { missing: clients, fault: None }
    }

    /// Whether all are subscribed, or one cannot be.
    pub fn is_over(&self) -> bool {
        self.missing == 0 || self.fault.is_some()
    }

    pub fn progress(&self) -> String {
        format!("{} clients are not subscribed", self.missing)
    }

    /// Whether all are subscribed.
    pub fn check(&self) -> Result<()> {
        ensure!(self.fault.is_none(), "not subscribed: {}", self.fault.as_deref().unwrap_or_default());
        Ok(())
    }
}

impl Listener for Subscribing {
    fn frame(&mut self, _: usize, kind: u8, body: &[u8]) {
        match text(kind, body) {
            Some(text) if text.contains(SUBSCRIBED) => self.missing -= 1,
            Some(text) if text.contains(OF_OTHERS) => {}
            _ => drop(self.fault.get_or_insert_with(|| String::from_utf8_lossy(body).into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_number_of_its_key() {
        let change = r#"[null,null,"t","postgres_changes",{"ids":[1],"data":{"columns":[],"record":{"id":42,"room":7},"errors":null}}]"#;
        assert_eq!(row(opcode::TEXT, change.as_bytes()), Content::Number(42));
        let other =
            r#"["1",null,"t","system",{"channel":"t","extension":"system","message":"","status":"ok"}]"#;
        assert_eq!(row(opcode::TEXT, other.as_bytes()), Content::Other);
        let gap = r#"["1",null,"t","system",{"channel":"t","extension":"postgres_changes","message":"","status":"ok"}]"#;
        assert_eq!(row(opcode::TEXT, gap.as_bytes()), Content::Unexpected);
    }
}
