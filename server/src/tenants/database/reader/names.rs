//! The names of the replication slot and of the lock of a reader.

use super::Election;

/// The beginning of the name of the slot, as upstream has it. The underscore stays without a suffix.
const SLOT: &str = "supabase_realtime_messages_replication_slot_";

/// The longest name in PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// The name of the slot, and what is tried when it is taken: slots are unique in a server, and not in a database.
#[derive(Debug)]
pub(super) struct ReaderNames {
    suffix: String,
    election: Election,
    database: Option<u32>,
    with_database: bool,
    with_node: bool,
    slot: String,
}

impl ReaderNames {
    pub(super) fn new(suffix: &str, election: Election) -> Self {
        let mut names = Self {
            suffix: suffix.to_owned(),
            election,
            database: None,
            with_database: false,
            with_node: false,
            slot: String::new(),
        };
        names.compose();
        names
    }

    /// The name of the slot.
    pub(super) fn slot(&self) -> &str {
        &self.slot
    }

    /// The key of the lock, which is the same on every node and in every version. Locks are of one database, so it does not
    /// depend on what is added to the name of the slot for others.
    pub(super) fn lock_key(&self) -> i64 {
        let mut name = format!("{SLOT}{}", self.suffix);
        if let (true, Election::EachNode(node)) = (self.with_node, self.election) {
            name = format!("{name}_{node}");
        }
        // FNV-1a.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash.cast_signed()
    }

    /// Notes which database of the server it is.
    pub(super) fn set_database(&mut self, oid: u32) {
        self.database = Some(oid);
    }

    /// The slot is another database's: the next name has that of this database. `false` if it has that already.
    pub(super) fn take_next(&mut self) -> bool {
        let is_new = !std::mem::replace(&mut self.with_database, true);
        self.compose();
        is_new
    }

    /// Another node reads: the next name has that of this node, if each node reads. `false` if it has that already, or one
    /// node reads for all.
    pub(super) fn take_next_of_node(&mut self) -> bool {
        let is_new = matches!(self.election, Election::EachNode(_)) && !self.with_node;
        self.with_node |= is_new;
        self.compose();
        is_new
    }

    fn compose(&mut self) {
        let mut slot = format!("{SLOT}{}", self.suffix);
        let mut end = String::new();
        if let (true, Some(oid)) = (self.with_database, self.database) {
            end = format!("_{oid}");
        }
        if let (true, Election::EachNode(node)) = (self.with_node, self.election) {
            end = format!("{end}_{:.6}", node.to_string());
        }
        slot.truncate(NAME_BYTES_MAX - end.len());
        self.slot = slot + &end;
    }
}

#[cfg(test)]
mod tests {
    use hub::NodeId;

    use super::*;

    #[test]
    fn names_are_upstreams_until_they_are_taken() {
        let mut names = ReaderNames::new("", Election::OneOfAll);
        assert_eq!(names.slot(), "supabase_realtime_messages_replication_slot_");
        let key = names.lock_key();
        assert_eq!(ReaderNames::new("", Election::OneOfAll).lock_key(), key);
        assert!(!names.take_next_of_node(), "one node reads");
        names.set_database(16_384);
        assert!(names.take_next() && !names.take_next());
        assert_eq!(names.slot(), "supabase_realtime_messages_replication_slot__16384");
        assert_eq!(names.lock_key(), key, "one lock in each database");

        let mut names = ReaderNames::new("blue", Election::EachNode(NodeId::new(0xabcd_ef01_2345_6789)));
        names.set_database(u32::MAX);
        assert!(names.take_next() && names.take_next_of_node() && !names.take_next_of_node());
        assert_eq!(
            names.slot(),
            "supabase_realtime_messages_replication_slot_bl_4294967295_abcdef".replace("_bl_", "_b_")
        );
        assert!(names.slot().len() <= NAME_BYTES_MAX);
    }
}
