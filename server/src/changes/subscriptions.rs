//! The subscriptions of one tenant on this node, by the tables that they are for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Weak};

use hub::{MemoryCharge, MemoryKind, TenantMemory};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::checked_subscription::{CheckedSubscription, ENTRIES_AT_ONCE, SubscriptionPart};
use super::index::{NewEntry, TableIndex};
use super::role_privileges::RolePrivileges;
use super::subscriber::ChangeSubscriber;
use super::viewer::Viewer;
use crate::auth::Claims;
use crate::tenants::database::changes::{ChangeTable, TableRights};

/// The subscriptions of a tenant.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    /// By their ids.
    subscribers: FxHashMap<u64, Subscribed>,
    /// Tables that are subscribed to, by their oids: more than one if the table has changed, until all subscriptions to it were
    /// checked again.
    tables: FxHashMap<u32, Vec<SubscribedTable>>,
    /// One for each role and claims, so that those with the same share what is asked for them.
    viewers: HashMap<Viewer, Weak<Viewer>>,
    /// Subscribers that have left since those without one were removed from `viewers`.
    left: usize,
}

/// A subscriber, and where its bindings are.
#[derive(Debug)]
struct Subscribed {
    subscriber: Arc<ChangeSubscriber>,
    /// Tables, in the order of their oids, and numbers of entries there.
    entries: Vec<(Arc<ChangeTable>, usize)>,
    /// For more tables than bindings: a binding may be for all tables of a schema.
    charge: MemoryCharge,
}

/// There is no memory for the tables that a subscription is for.
#[derive(Debug)]
pub(super) struct OutOfMemory;

/// A table, and who has subscribed to it.
#[derive(Debug)]
pub(super) struct SubscribedTable {
    pub(super) table: Arc<ChangeTable>,
    pub(super) index: TableIndex,
    /// Whether rows in the log may lack generated columns.
    pub(super) has_generated: bool,
    /// What the roles of its subscribers may read.
    pub(super) privileges: HashMap<Box<str>, Arc<RolePrivileges>>,
}

impl Subscriptions {
    /// Works with all of them. Nothing may wait meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock())
    }

    /// The subscribers.
    pub(super) fn all(&self) -> Vec<Arc<ChangeSubscriber>> {
        self.0.lock().subscribers.values().map(|subscribed| Arc::clone(&subscribed.subscriber)).collect()
    }

    /// The viewer with these claims.
    pub(super) fn viewer(&self, claims: &Arc<Claims>) -> Arc<Viewer> {
        let viewer = Viewer::of(claims);
        let mut state = self.0.lock();
        if let Some(known) = state.viewers.get(&viewer).and_then(Weak::upgrade) {
            return known;
        }
        if state.viewers.len() == state.viewers.capacity() {
            state.viewers.retain(|_, viewer| viewer.strong_count() > 0);
        }
        let shared = Arc::new(viewer.clone());
        state.viewers.insert(viewer, Arc::downgrade(&shared));
        shared
    }
}

impl State {
    /// Adds a subscriber whose subscription was checked, and charges it to `memory`. Its parts follow.
    ///
    /// # Errors
    /// If there is none. What it had subscribed to is to be removed then.
    pub(super) fn begin(
        &mut self,
        subscriber: &Arc<ChangeSubscriber>,
        entry_bytes: usize,
        memory: &Arc<TenantMemory>,
    ) -> Result<(), OutOfMemory> {
        let new = || {
            let charge = memory.charge(MemoryKind::Sessions, 0);
            Subscribed { subscriber: Arc::clone(subscriber), entries: Vec::new(), charge }
        };
        let subscribed = self.subscribers.entry(subscriber.id).or_insert_with(new);
        if !subscribed.charge.try_resize(entry_bytes) {
            memory.count_refusal(MemoryKind::Sessions);
            return Err(OutOfMemory);
        }
        Ok(())
    }

    /// Puts a part of a subscription instead of what the subscriber has subscribed to of its tables.
    pub(super) fn put(
        &mut self,
        subscriber: &Arc<ChangeSubscriber>,
        checked: &CheckedSubscription,
        part: &SubscriptionPart<'_>,
    ) {
        let place = self.remove_entries_of(subscriber, &part.oids);
        let mut entries = Vec::with_capacity(part.targets.len());
        for (binding, target) in &part.targets {
            let Some(identified) = subscriber.bindings.get(*binding) else { continue };
            let Some(table) = checked.tables.get(&target.oid) else { continue };
            let new = NewEntry {
                subscriber: Arc::clone(subscriber),
                id: identified.id,
                event: identified.binding.event,
                select: target.select.as_deref().map(Arc::from),
                filters: &target.filters,
            };
            entries.push((Arc::clone(table), self.subscribed(table).index.add(table, new)));
        }
        self.add_rights(checked.rights_of(&part.oids));
        if let Some(subscribed) = self.subscribers.get_mut(&subscriber.id) {
            subscribed.entries.splice(place..place, entries);
        }
    }

    /// Those who have subscribed to a table, by what it was when they were checked.
    pub(super) fn tables(&self, oid: u32) -> &[SubscribedTable] {
        self.tables.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// Whether rows of some table may lack generated columns.
    pub(super) fn has_generated(&self) -> bool {
        self.tables.values().flatten().any(|subscribed| subscribed.has_generated)
    }

    fn subscribed(&mut self, table: &Arc<ChangeTable>) -> &mut SubscribedTable {
        let tables = self.tables.entry(table.oid).or_default();
        let place = tables.iter().position(|known| Arc::ptr_eq(&known.table, table)).unwrap_or_else(|| {
            tables.push(SubscribedTable::new(Arc::clone(table)));
            tables.len() - 1
        });
        &mut tables[place]
    }

    /// Removes a part of what a subscriber has subscribed to. Returns whether it was the last one. The subscriber stays.
    pub(super) fn remove_entries(&mut self, subscriber: &ChangeSubscriber) -> bool {
        let count = self.subscribers.get(&subscriber.id).map_or(0, |subscribed| subscribed.entries.len());
        let rest = count.saturating_sub(ENTRIES_AT_ONCE);
        self.drain_entries(subscriber, rest..count);
        if rest == 0
            && let Some(subscribed) = self.subscribers.get_mut(&subscriber.id)
        {
            subscribed.charge.resize(0);
        }
        rest == 0
    }

    /// Removes a part of what a subscriber has subscribed to, and the subscriber itself with the last one. Returns whether it was that.
    pub(super) fn remove(&mut self, subscriber: &ChangeSubscriber) -> bool {
        if !self.remove_entries(subscriber) {
            return false;
        }
        self.subscribers.remove(&subscriber.id);
        self.left += 1;
        // Once for so many that each of them costs little: a viewer has the claims of a session that may have ended.
        if self.left >= self.viewers.len() / 2 {
            self.left = 0;
            self.viewers.retain(|_, viewer| viewer.strong_count() > 0);
        }
        true
    }

    /// Whether a subscriber has subscribed to a table.
    pub(super) fn has_entries(&self, subscriber: &ChangeSubscriber) -> bool {
        self.subscribers.get(&subscriber.id).is_some_and(|subscribed| !subscribed.entries.is_empty())
    }

    /// Removes the subscriptions to tables with these oids. Returns the place where they were.
    fn remove_entries_of(&mut self, subscriber: &ChangeSubscriber, oids: &RangeInclusive<u32>) -> usize {
        let entries = self.subscribers.get(&subscriber.id).map_or(&[][..], |subscribed| &subscribed.entries);
        let begin = entries.partition_point(|(table, _)| table.oid < *oids.start());
        let end = entries.partition_point(|(table, _)| table.oid <= *oids.end());
        self.drain_entries(subscriber, begin..end);
        begin
    }

    fn drain_entries(&mut self, subscriber: &ChangeSubscriber, places: Range<usize>) {
        let Self { subscribers, tables: all, .. } = self;
        let Some(subscribed) = subscribers.get_mut(&subscriber.id) else { return };
        for (table, number) in subscribed.entries.drain(places) {
            let Some(tables) = all.get_mut(&table.oid) else { continue };
            if let Some(subscribed) = tables.iter_mut().find(|known| Arc::ptr_eq(&known.table, &table)) {
                subscribed.index.remove(number);
            }
            tables.retain(|subscribed| !subscribed.index.is_empty());
            if tables.is_empty() {
                all.remove(&table.oid);
            }
        }
    }

    /// Those who have subscribed to one of these tables.
    pub(super) fn subscribers_of(&self, tables: &[u32]) -> Vec<Arc<ChangeSubscriber>> {
        self.subscribers_if(|subscribed| tables.iter().any(|oid| subscribed.has_table(*oid)))
    }

    /// The tables that are subscribed to.
    pub(super) fn oids(&self) -> Vec<u32> {
        self.tables.keys().copied().collect()
    }

    /// Those who have subscribed to a table of this name, whichever table has it.
    pub(super) fn subscribers_by_name(&self, schema: &str, table: &str) -> Vec<Arc<ChangeSubscriber>> {
        self.subscribers_if(|subscribed| subscribed.subscriber.names(schema, table))
    }

    /// Those who name a table of this name, and have not subscribed to the one with this oid: another one had the name, or a column
    /// of a filter was dropped.
    pub(super) fn missing_by_name(&self, oid: u32, schema: &str, table: &str) -> Vec<Arc<ChangeSubscriber>> {
        self.subscribers_if(|subscribed| {
            !subscribed.has_table(oid) && subscribed.subscriber.names(schema, table)
        })
    }

    /// The tables, and how many subscriptions each has.
    pub(super) fn counts(&self) -> Vec<(String, usize)> {
        let tables = self.tables.values().flatten();
        tables
            .map(|SubscribedTable { table, index, .. }| {
                (format!("{}.{}", table.schema, table.name), index.len())
            })
            .collect()
    }

    /// Whether nothing is subscribed to.
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    fn subscribers_if(&self, is_meant: impl Fn(&Subscribed) -> bool) -> Vec<Arc<ChangeSubscriber>> {
        let meant = self.subscribers.values().filter(|subscribed| is_meant(subscribed));
        meant.map(|subscribed| Arc::clone(&subscribed.subscriber)).collect()
    }

    /// The tables that are subscribed to, and the roles of subscribers.
    pub(super) fn tables_and_roles(&self) -> (Vec<u32>, BTreeSet<Box<str>>) {
        // There are few roles, and maybe a hundred thousand subscribers.
        let mut roles: BTreeSet<Box<str>> = BTreeSet::new();
        for subscribed in self.subscribers.values() {
            let viewer = subscribed.subscriber.progress.viewer();
            if !roles.contains(viewer.role()) {
                roles.insert(viewer.role().into());
            }
        }
        (self.tables.keys().copied().collect(), roles)
    }

    /// Notes what roles may read, of all that was `asked` for: a role that is missing there does not exist. Returns tables that are
    /// not as they were described.
    pub(super) fn replace_rights(
        &mut self,
        (tables, roles): &(Vec<u32>, BTreeSet<Box<str>>),
        rights: &[(u32, Box<str>, TableRights)],
    ) -> Vec<u32> {
        let found: HashSet<(u32, &str)> = rights.iter().map(|(table, role, _)| (*table, &**role)).collect();
        for table in tables {
            for subscribed in self.tables.get_mut(table).into_iter().flatten() {
                let is_gone = |role: &str| roles.contains(role) && !found.contains(&(*table, role));
                subscribed.privileges.retain(|role, _| !is_gone(role));
            }
        }
        self.set_rights(rights.iter().map(|(table, role, rights)| (*table, &**role, rights)));
        let differs = |(table, _, rights): &&(u32, Box<str>, TableRights)| {
            self.tables(*table).iter().any(|subscribed| subscribed.table.shape() != rights.shape)
        };
        let mut changed: Vec<u32> = rights.iter().filter(differs).map(|(table, ..)| *table).collect();
        changed.dedup();
        changed
    }

    /// Nothing is known of what roles may read: until it is, they see nothing.
    pub(super) fn clear_rights(&mut self) {
        self.tables.values_mut().flatten().for_each(|subscribed| subscribed.privileges.clear());
    }

    /// Notes what roles may read.
    pub(super) fn set_rights<'r>(&mut self, rights: impl Iterator<Item = (u32, &'r str, &'r TableRights)>) {
        for (table, role, rights) in rights {
            let subscribed = self.tables.get_mut(&table).into_iter().flatten();
            subscribed.for_each(|subscribed| subscribed.set_privileges(role, rights));
        }
    }

    /// Notes what roles may read of tables of which that is not known.
    fn add_rights<'r>(&mut self, rights: impl Iterator<Item = (u32, &'r str, &'r TableRights)>) {
        for (table, role, rights) in rights {
            let subscribed = self.tables.get_mut(&table).into_iter().flatten();
            let unknown = subscribed.filter(|subscribed| !subscribed.privileges.contains_key(role));
            unknown.for_each(|subscribed| subscribed.set_privileges(role, rights));
        }
    }
}

impl Subscribed {
    fn has_table(&self, oid: u32) -> bool {
        self.entries.binary_search_by_key(&oid, |(table, _)| table.oid).is_ok()
    }
}

impl SubscribedTable {
    fn new(table: Arc<ChangeTable>) -> Self {
        let has_generated = table.has_generated();
        Self { table, index: TableIndex::default(), has_generated, privileges: HashMap::new() }
    }

    fn set_privileges(&mut self, role: &str, rights: &TableRights) {
        let privileges = RolePrivileges::new(&self.table, rights);
        if self.privileges.get(role).is_none_or(|known| **known != privileges) {
            self.privileges.insert(role.into(), Arc::new(privileges));
        }
    }

    /// Whether some subscribers are sent refusals instead of written rows.
    pub(super) fn has_refusals(&self) -> bool {
        self.table.primary_key.is_empty()
            || self.privileges.values().any(|privileges| !privileges.may_read_key)
    }
}
