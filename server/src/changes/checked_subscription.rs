//! What a subscription was found to be for, and its parts.
//!
//! It may have a hundred bindings for thousands of tables each, and everything else that the tenant does with changes waits for the lock
//! under which they are put: part by part, so that it is free in between, and so is the worker.

use std::collections::BTreeMap;
use std::iter::once;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::tenants::database::changes::{
    ChangeTable, CheckedBinding, CheckedFilter, CheckedTable, TableRights,
};

/// Entries that are put, or removed, at once, unless one table has more: what takes about a time slice.
pub(super) const ENTRIES_AT_ONCE: usize = 250;

/// Bytes of an entry of an index, without its conditions.
const ENTRY_BYTES: usize = 320;

/// Bytes of a condition, without what it is compared with. The tables of a binding share the value as it was sent; each entry has its own
/// one as the table has it, and so has the index by values.
const FILTER_BYTES: usize = 160;

/// What a subscription was found to be for.
#[derive(Debug)]
pub(super) struct CheckedSubscription {
    /// For each binding the tables and filters.
    pub(super) bindings: Vec<Arc<CheckedBinding>>,
    /// The tables, by their oids.
    pub(super) tables: BTreeMap<u32, Arc<ChangeTable>>,
    /// The role that it was checked for.
    pub(super) role: Box<str>,
    /// What the role may read of them.
    pub(super) rights: BTreeMap<u32, TableRights>,
}

/// What a subscription adds to some tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubscriptionPart<'c> {
    /// The oids of these tables, and of others that it is not for: each is in one of the parts.
    pub(super) oids: RangeInclusive<u32>,
    /// The tables, by their oids, and the place of the binding that is for them. Bindings for the same table stay in order.
    pub(super) targets: Vec<(usize, &'c CheckedTable)>,
}

impl CheckedSubscription {
    /// Bytes of the entries, but those of one table for each binding, which are charged with the join.
    pub(super) fn more_entry_bytes(&self) -> usize {
        self.bindings.iter().flat_map(|binding| binding.tables.iter().skip(1)).map(entry_bytes).sum()
    }

    /// The oids of its parts, in order; at least one.
    pub(super) fn oids_of_parts(&self) -> Vec<RangeInclusive<u32>> {
        let tables_at_once = (ENTRIES_AT_ONCE / self.bindings.len().max(1)).max(1);
        let firsts: Vec<u32> = self.tables.keys().copied().step_by(tables_at_once).skip(1).collect();
        let lasts = firsts.iter().map(|first| first - 1).chain(once(u32::MAX));
        once(0).chain(firsts.iter().copied()).zip(lasts).map(|(first, last)| first..=last).collect()
    }

    /// The part with these oids.
    pub(super) fn part(&self, oids: &RangeInclusive<u32>) -> SubscriptionPart<'_> {
        let mut targets = Vec::new();
        for (place, CheckedBinding { tables }) in self.bindings.iter().map(|binding| &**binding).enumerate() {
            let first = tables.partition_point(|table| table.oid < *oids.start());
            let end = tables.partition_point(|table| table.oid <= *oids.end());
            targets.extend(tables[first..end].iter().map(|table| (place, table)));
        }
        targets.sort_by_key(|(_, table)| table.oid);
        SubscriptionPart { oids: oids.clone(), targets }
    }

    /// What its role may read of the tables of a part.
    pub(super) fn rights_of(
        &self,
        oids: &RangeInclusive<u32>,
    ) -> impl Iterator<Item = (u32, &str, &TableRights)> {
        self.rights.range(oids.clone()).map(|(table, rights)| (*table, &*self.role, rights))
    }
}

fn entry_bytes(table: &CheckedTable) -> usize {
    let of_condition = |filter: &CheckedFilter| {
        let canonical =
            filter.canonical.iter().map(|text| size_of_val(text) + text.as_deref().map_or(0, str::len));
        FILTER_BYTES + 2 * canonical.sum::<usize>()
    };
    ENTRY_BYTES + table.filters.iter().map(of_condition).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(bindings: usize, oids: &[u32]) -> CheckedSubscription {
        let table =
            |oid: &u32| CheckedTable { oid: *oid, filters: Vec::new(), select: None, columns: [].into() };
        let binding = || Arc::new(CheckedBinding { tables: oids.iter().map(table).collect() });
        let described = |oid: &u32| {
            let table = ChangeTable {
                oid: *oid,
                schema: "public".into(),
                name: oid.to_string().into(),
                columns: [].into(),
                primary_key: [].into(),
                has_rls: false,
                is_partitioned: false,
            };
            (*oid, Arc::new(table))
        };
        CheckedSubscription {
            bindings: (0..bindings).map(|_| binding()).collect(),
            tables: oids.iter().map(described).collect(),
            role: "anon".into(),
            rights: BTreeMap::new(),
        }
    }

    #[test]
    fn each_table_is_in_one_part_and_each_oid_too() {
        let oids: Vec<u32> = (1..=3_000).map(|number| 10 * number).collect();
        for bindings in [1, 3, 2 * ENTRIES_AT_ONCE] {
            let checked = checked(bindings, &oids);
            let parts: Vec<_> = checked.oids_of_parts().iter().map(|oids| checked.part(oids)).collect();
            assert_eq!((parts[0].oids.start(), parts[parts.len() - 1].oids.end()), (&0, &u32::MAX));
            assert!(parts.windows(2).all(|pair| pair[0].oids.end() + 1 == *pair[1].oids.start()));
            for part in &parts {
                assert!(part.targets.len() <= ENTRIES_AT_ONCE.max(bindings), "{}", part.targets.len());
                assert!(part.targets.iter().all(|(_, table)| part.oids.contains(&table.oid)));
                assert!(part.targets.is_sorted_by_key(|(binding, table)| (table.oid, *binding)));
            }
            assert_eq!(parts.iter().map(|part| part.targets.len()).sum::<usize>(), 3_000 * bindings);
        }
    }

    #[test]
    fn a_subscription_without_tables_has_a_part_that_ends_what_was_there() {
        assert_eq!(checked(1, &[]).oids_of_parts(), [0..=u32::MAX]);
    }
}
