//! What a subscription was found to be for, and its parts.
//!
//! It may have a hundred bindings for thousands of tables each, and everything else that the tenant does with changes waits for the lock
//! under which they are put: part by part, so that it is free in between.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::tenants::database::changes::{
    ChangeTable, CheckedBinding, CheckedFilter, CheckedTable, TableRights,
};

/// Entries that are put, or removed, at once, and those of one table more: what takes about a millisecond.
pub(super) const ENTRIES_AT_ONCE: usize = 1_000;

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
    pub(super) tables: HashMap<u32, Arc<ChangeTable>>,
    /// What the role may read of them.
    pub(super) rights: Vec<(u32, Box<str>, TableRights)>,
}

/// What a subscription adds to some tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubscriptionPart<'c> {
    /// The oids of these tables, and of others that it is not for: each is in one of the parts.
    pub(super) oids: RangeInclusive<u32>,
    /// The tables, by their oids, and the place of the binding that is for them.
    pub(super) targets: Vec<(usize, &'c CheckedTable)>,
}

impl CheckedSubscription {
    /// Bytes of the entries, but those of one table for each binding, which are charged with the join.
    pub(super) fn more_entry_bytes(&self) -> usize {
        self.bindings.iter().flat_map(|binding| binding.tables.iter().skip(1)).map(entry_bytes).sum()
    }

    /// Its parts; at least one.
    pub(super) fn parts(&self) -> Vec<SubscriptionPart<'_>> {
        let bindings = self.bindings.iter().enumerate();
        let targets =
            bindings.flat_map(|(place, binding)| binding.tables.iter().map(move |table| (place, table)));
        let mut targets: Vec<(usize, &CheckedTable)> = targets.collect();
        // Bindings for the same table stay in order.
        targets.sort_by_key(|(_, table)| table.oid);
        let mut parts = vec![SubscriptionPart { oids: 0..=u32::MAX, targets: Vec::new() }];
        for of_table in targets.chunk_by(|(_, one), (_, next)| one.oid == next.oid) {
            let last = parts.last_mut().expect("there is at least one");
            if last.targets.len() < ENTRIES_AT_ONCE {
                last.targets.extend(of_table);
            } else {
                let first = of_table[0].1.oid;
                last.oids = *last.oids.start()..=first - 1;
                parts.push(SubscriptionPart { oids: first..=u32::MAX, targets: of_table.to_vec() });
            }
        }
        parts
    }

    /// What its role may read of the tables of a part.
    pub(super) fn rights_of(
        &self,
        part: &SubscriptionPart<'_>,
    ) -> impl Iterator<Item = &(u32, Box<str>, TableRights)> {
        self.rights.iter().filter(|(table, ..)| part.oids.contains(table))
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
        let bindings = (0..bindings).map(|_| binding()).collect();
        CheckedSubscription { bindings, tables: HashMap::new(), rights: Vec::new() }
    }

    #[test]
    fn each_table_is_in_one_part_and_each_oid_too() {
        let oids: Vec<u32> = (1..=3_000).rev().map(|number| 10 * number).collect();
        let checked = checked(3, &oids);
        let parts = checked.parts();
        assert_eq!((parts.len(), *parts[0].oids.start(), *parts[8].oids.end()), (9, 0, u32::MAX));
        assert!(parts.iter().zip(&parts[1..]).all(|(one, next)| one.oids.end() + 1 == *next.oids.start()));
        for part in &parts {
            assert!(part.targets.len() <= ENTRIES_AT_ONCE + 3, "{}", part.targets.len());
            assert!(part.targets.iter().all(|(_, table)| part.oids.contains(&table.oid)));
            assert!(part.targets.is_sorted_by_key(|(binding, table)| (table.oid, *binding)));
        }
        assert_eq!(parts.iter().map(|part| part.targets.len()).sum::<usize>(), 9_000);
    }

    #[test]
    fn a_subscription_without_tables_has_a_part_that_ends_what_was_there() {
        assert_eq!(checked(1, &[]).parts(), [SubscriptionPart { oids: 0..=u32::MAX, targets: Vec::new() }]);
    }
}
