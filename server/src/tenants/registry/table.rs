//! All tenants by id, to be looked up without a lock while they change.
//!
//! The table has parts, and a change copies the parts that it concerns: with ten thousand tenants a copy of all for each one
//! that is created would be half of the work of an operator who creates them.

use std::array;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustc_hash::FxHasher;

use crate::tenants::Tenant;
use crate::tenants::spec_table::Key;

/// Parts of the table. Operators choose the names in it, so its parts are of one size on average.
const PARTS: usize = 64;

type Part = HashMap<Key, Arc<Tenant>>;

/// The tenants by key. One caller changes it at a time.
pub(super) struct TenantTable([ArcSwap<Part>; PARTS]);

impl TenantTable {
    pub(super) fn new(tenants: impl IntoIterator<Item = (Key, Arc<Tenant>)>) -> Self {
        let table = Self(array::from_fn(|_| ArcSwap::default()));
        table.change(tenants.into_iter().map(|(key, tenant)| (key, Some(tenant))));
        table
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Tenant>> {
        self.0[part_of(key)].load().get(key).map(Arc::clone)
    }

    /// Every tenant, in no order.
    pub(super) fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.iter().flat_map(|part| part.load().values().map(Arc::clone).collect::<Vec<_>>()).collect()
    }

    /// Makes these tenants those of their keys; `None` removes one.
    pub(super) fn change(&self, changes: impl IntoIterator<Item = (Key, Option<Arc<Tenant>>)>) {
        let mut by_part: [Vec<_>; PARTS] = array::from_fn(|_| Vec::new());
        for (key, tenant) in changes {
            by_part[part_of(&key)].push((key, tenant));
        }
        for (part, changes) in self.0.iter().zip(by_part).filter(|(_, changes)| !changes.is_empty()) {
            let mut after = Part::clone(&part.load());
            for (key, tenant) in changes {
                match tenant {
                    Some(tenant) => drop(after.insert(key, tenant)),
                    None => drop(after.remove(&key)),
                }
            }
            part.store(Arc::new(after));
        }
    }
}

fn part_of(key: &str) -> usize {
    BuildHasherDefault::<FxHasher>::default().hash_one(key) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_spread_over_the_parts() {
        let mut sizes = [0; PARTS];
        (0..10_000).for_each(|number| sizes[part_of(&format!("tenant-{number:05}"))] += 1);
        let average = 10_000 / PARTS;
        assert!(sizes.iter().all(|size| (average / 2..average * 2).contains(size)), "{sizes:?}");
    }
}
