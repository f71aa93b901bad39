//! The tables that the log has described in its present session, by which rows are read.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use wire::pgoutput::{self, LogMessage};
use wire::supabase::changes::ChangeType;

use super::log_table::{LogChange, LogTable};
use super::subscriptions::SubscribedTable;

/// Descriptions of tables.
#[derive(Default)]
pub(super) struct LogTables {
    /// As they were received, by oids.
    relations: FxHashMap<u32, Bytes>,
    /// Those that are subscribed to, by the address of what the catalog says of them.
    subscribed: FxHashMap<usize, Arc<LogTable>>,
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
        let message = pgoutput::decode(message).ok()?;
        let table = self.table(subscribed)?;
        let row = match &message {
            LogMessage::Insert(insert) => insert.new,
            LogMessage::Update(update) => update.new,
            LogMessage::Delete(delete) => delete.old.row(),
            _ => return None,
        };
        if row.len() != table.logged {
            return None;
        }
        Some(match message {
            LogMessage::Insert(insert) => {
                LogChange::written(&table, ChangeType::Insert, at, (insert.new, None))
            }
            LogMessage::Update(update) => {
                LogChange::written(&table, ChangeType::Update, at, (update.new, update.old))
            }
            LogMessage::Delete(delete) => LogChange::deleted(&table, at, delete.old),
            _ => return None,
        })
    }

    /// The table as the log has it.
    fn table(&mut self, subscribed: &SubscribedTable) -> Option<Arc<LogTable>> {
        let address = Arc::as_ptr(&subscribed.table).addr();
        if let Some(known) = self.subscribed.get(&address) {
            return Some(Arc::clone(known));
        }
        let relation = self.relations.get(&subscribed.table.oid)?;
        let LogMessage::Relation(relation) = pgoutput::decode(relation).ok()? else { return None };
        let table = Arc::new(LogTable::new(&relation, Arc::clone(&subscribed.table)));
        // Those without subscribers: they are described anew when they are subscribed to again.
        self.subscribed.retain(|_, known| Arc::strong_count(&known.table) > 1);
        self.subscribed.insert(address, Arc::clone(&table));
        Some(table)
    }
}
