//! How Hocuspocus clients name one document: «room», «room/default», or either with a session (docs/protocol/documents.md#names).
//!
//! Each answer begins with the name that its receiver uses, so members with one name are a delivery group.

use std::collections::HashMap;
use std::sync::Arc;

use hub::Group;
use parking_lot::Mutex;
use slab::Slab;

/// The names that members of one document use, each a group.
#[derive(Debug, Default)]
pub(super) struct RoutingKeys(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    /// The number of a group is that of its slot, plus one: the default group is for members without a name.
    used: Slab<(Arc<str>, usize)>,
    by_key: HashMap<Arc<str>, usize>,
}

impl RoutingKeys {
    /// The group of the members that use `key`, until it is [released](Self::release).
    pub(super) fn acquire(&self, key: &Arc<str>) -> Group {
        let Keys { used, by_key } = &mut *self.0.lock();
        let slot = *by_key.entry(Arc::clone(key)).or_insert_with(|| used.insert((Arc::clone(key), 0)));
        used[slot].1 += 1;
        // As many as there are members, of which there are fewer than 2³⁰.
        Group::new(slot as u32 + 1)
    }

    /// One member fewer uses `key`.
    pub(super) fn release(&self, key: &str) {
        let Keys { used, by_key } = &mut *self.0.lock();
        let Some(slot) = by_key.get(key).copied() else { return };
        used[slot].1 -= 1;
        if used[slot].1 == 0 {
            used.remove(slot);
            by_key.remove(key);
        }
    }

    /// The name that the members of `group` use.
    pub(super) fn key(&self, group: Group) -> Option<Arc<str>> {
        let slot = group.get().checked_sub(1)?;
        self.0.lock().used.get(slot as usize).map(|(key, _)| Arc::clone(key))
    }
}
