//! The tables that the log has described in its present session, by which rows are read.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use wire::pgoutput::{self, LogMessage};

use super::by_address::ByAddress;
use super::log_change::{LogChange, LogRows};
use super::log_table::LogTable;
use super::subscriptions::SubscribedTable;
use crate::tenants::database::changes::ChangeTable;

/// Descriptions of tables.
#[derive(Default)]
pub(super) struct LogTables {
    /// As they were received, by oids.
    relations: FxHashMap<u32, Bytes>,
    /// Those that are subscribed to, by what the catalog says of them.
    subscribed: FxHashMap<ByAddress<ChangeTable>, Arc<LogTable>>,
}

/// The table whose row a message has.
pub(super) fn table_of(message: &Bytes) -> Option<u32> {
    Some(u32::from_be_bytes(message.get(1..5)?.try_into().ok()?))
}

impl LogTables {
    /// A session of the log begins: it describes all tables again.
    pub(super) fn clear(&mut self) {
        self.relations.clear();
        self.subscribed.clear();
    }

    /// Notes the description of a table. Returns whether there was another one.
    pub(super) fn note(&mut self, oid: u32, message: &Bytes) -> bool {
        // A copy: it is kept as long as the session, and a slice would keep all that was received with it.
        let before = self.relations.insert(oid, Bytes::copy_from_slice(message));
        self.subscribed.retain(|_, known| known.table.oid != oid);
        before.is_some_and(|before| before != *message)
    }

    /// What a message, committed at this time, says of a row of a table.
    pub(super) fn change<'m>(
        &mut self,
        message: &'m Bytes,
        (subscribed, at): (&SubscribedTable, i64),
    ) -> Option<LogChange<'m>> {
        let rows = match pgoutput::decode(message).ok()? {
            LogMessage::Insert(insert) => LogRows::Insert(insert.new),
            LogMessage::Update(update) => LogRows::Update { new: update.new, old: update.old },
            LogMessage::Delete(delete) => LogRows::Delete(delete.old),
            _ => return None,
        };
        let table = self.table(subscribed)?;
        (rows.last().len() == table.logged).then(|| LogChange::new(&table, at, rows))
    }

    /// The table as the log has it.
    fn table(&mut self, subscribed: &SubscribedTable) -> Option<Arc<LogTable>> {
        let key = ByAddress::of(&subscribed.table);
        if let Some(known) = self.subscribed.get(&key) {
            return Some(Arc::clone(known));
        }
        let relation = self.relations.get(&subscribed.table.oid)?;
        let LogMessage::Relation(relation) = pgoutput::decode(relation).ok()? else { return None };
        let table = Arc::new(LogTable::new(&relation, Arc::clone(&subscribed.table)));
        // Those without subscribers are kept only by their entry, twice: they are described anew when they are subscribed to again.
        self.subscribed.retain(|_, known| Arc::strong_count(&known.table) > 2);
        self.subscribed.insert(key, Arc::clone(&table));
        Some(table)
    }
}
