//! The names of the replication slot and of the lock of a reader.
//!
//! Slots are unique in a PostgreSQL server, and locks in a database. A tenant may share both with others, even the database, and
//! each of them reads for itself: so the lock depends on the tenant, and the slot on it as soon as upstream's name is taken.

use super::Election;

/// The name of sessions that read changes of tables, in `pg_stat_activity`, as upstream has it.
pub(super) const CHANGES_SESSION: &str = "realtime_rls";

/// The longest name in PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// The name of the slot, and the one that is used instead when it is taken.
#[derive(Debug)]
pub(super) struct ReaderNames {
    /// The name that upstream has.
    upstream: String,
    /// The tenant, and the node if each node reads.
    reader: String,
    slot: String,
}

impl ReaderNames {
    /// Those of a reader whose slot upstream would name `slot`.
    pub(super) fn new(slot: String, tenant: &str, election: Election) -> Self {
        let reader = match election {
            Election::OneOfAll => tenant.to_owned(),
            Election::EachNode(node) => format!("{tenant}\0{node}"),
        };
        Self { upstream: slot.clone(), reader, slot }
    }

    /// The name of the slot.
    pub(super) fn slot(&self) -> &str {
        &self.slot
    }

    /// The key of the lock, which is the same on every node that may read instead of this one, and in every version.
    pub(super) fn lock_key(&self) -> i64 {
        hash(&format!("{}\0{}", self.upstream, self.reader)).cast_signed()
    }

    /// The reader that is to be replaced has this slot, in the database with this oid: its name is used next, so that no time is
    /// lost with one that others have.
    pub(super) fn follow(&mut self, slot: &str, database: u32) {
        if slot != self.slot {
            self.take_own(database);
        }
    }

    /// The slot is another reader's: the next name depends on this one and on the database, whose oid it is. `false` if the name
    /// does that already.
    pub(super) fn take_own(&mut self, database: u32) -> bool {
        let slot = of_database(&self.upstream, "", database, &self.reader);
        let is_new = self.slot != slot;
        self.slot = slot;
        is_new
    }
}

/// The name of the slot that keeps what a tenant reads, in the database with this oid, while no session does.
pub(super) fn durable(upstream: &str, tenant: &str, database: u32) -> String {
    of_database(upstream, "_durable", database, tenant)
}

/// A name that depends on the reader and the database.
fn of_database(upstream: &str, kind: &str, database: u32, reader: &str) -> String {
    // 32 bits, so that something of the suffix remains.
    let end = format!("{kind}_{:08x}", hash(&format!("{upstream}\0{database}\0{reader}")) as u32);
    let mut slot = upstream.to_owned();
    slot.truncate(NAME_BYTES_MAX - end.len());
    slot + &end
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hub::NodeId;

    use super::*;

    #[test]
    fn names_are_upstreams_until_they_are_taken() {
        let names = || ReaderNames::new("upstreams_".into(), "acme", Election::OneOfAll);
        let mut taken = names();
        assert_eq!(taken.slot(), "upstreams_");
        assert!(taken.take_own(16_384) && !taken.take_own(16_384));
        assert!(taken.slot().starts_with("upstreams__"), "{}", taken.slot());
        assert_eq!(taken.lock_key(), names().lock_key(), "it does not depend on the slot");
    }

    #[test]
    fn the_next_reader_takes_the_name_of_the_last() {
        let reader = || ReaderNames::new("blue".into(), "acme", Election::OneOfAll);
        let (mut first, mut next) = (reader(), reader());
        next.follow(first.slot(), 16_384);
        assert_eq!(next.slot(), reader().slot(), "nothing is taken");
        assert!(first.take_own(16_384));
        next.follow(first.slot(), 16_384);
        assert_eq!(next.slot(), first.slot());
    }

    #[test]
    fn readers_that_differ_in_anything_have_their_own_names() {
        let long = "x".repeat(NAME_BYTES_MAX);
        let almost = format!("{}y", &long[1..]);
        let nodes =
            [Election::OneOfAll, Election::EachNode(NodeId::new(1)), Election::EachNode(NodeId::new(2))];
        let (mut slots, mut keys, mut readers) = (HashSet::new(), HashSet::new(), 0);
        let mut durable = HashSet::new();
        for slot in ["", "blue", &long, &almost] {
            for tenant in ["acme", "initech"] {
                for node in nodes {
                    for database in [16_384, u32::MAX] {
                        let mut names = ReaderNames::new(slot.to_owned(), tenant, node);
                        assert!(names.take_own(database));
                        assert!(names.slot().len() <= NAME_BYTES_MAX, "{}", names.slot());
                        slots.insert(names.slot().to_owned());
                        durable.insert(super::durable(slot, tenant, database));
                        keys.insert(names.lock_key());
                        readers += 1;
                    }
                }
            }
        }
        assert_eq!((slots.len(), keys.len() * 2), (readers, readers), "locks are of one database");
        assert_eq!(durable.len() * nodes.len(), readers, "one for all nodes");
        assert!(durable.iter().all(|name| name.len() <= NAME_BYTES_MAX) && durable.is_disjoint(&slots));
    }
}
