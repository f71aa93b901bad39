//! What the database is asked of subscriptions: the names of tables, the columns and the filters of them all, each once.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use serde_json::{Value, json};
use wire::supabase::changes::{Binding, Filter, FilterOperator, NamePattern};

/// Different subscriptions that one statement checks.
#[derive(Default)]
pub(super) struct CheckQuestion<'b> {
    pub(super) bindings: Vec<AskedBinding<'b>>,
    /// The names of their tables.
    patterns: Numbered<(&'b NamePattern, &'b NamePattern)>,
    /// Their filters, each with the place of the names of its tables.
    filters: Numbered<(usize, &'b str, FilterOperator, &'b str)>,
    /// The values of the filters, as bindings have them.
    values: Vec<Arc<str>>,
}

/// A subscription that is checked.
pub(super) struct AskedBinding<'b> {
    pub(super) binding: &'b Binding,
    /// The place of the names of its tables.
    pub(super) pattern: usize,
    /// The places and the values of its filters.
    pub(super) filters: Vec<(usize, Arc<str>)>,
}

/// Different things in the order in which they came.
struct Numbered<K> {
    all: Vec<K>,
    places: HashMap<K, usize>,
}

impl<K> Default for Numbered<K> {
    fn default() -> Self {
        Self { all: Vec::new(), places: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Numbered<K> {
    /// The place of one of them, which is added if it is new.
    fn place(&mut self, one: K) -> usize {
        *self.places.entry(one).or_insert_with(|| {
            self.all.push(one);
            self.all.len() - 1
        })
    }
}

impl<'b> CheckQuestion<'b> {
    /// Adds a subscription. Returns its place.
    pub(super) fn add(&mut self, binding: &'b Binding) -> usize {
        let pattern = self.patterns.place((&binding.schema, &binding.table));
        let filters = binding.filters.iter().map(|filter| self.filter(pattern, filter)).collect();
        self.bindings.push(AskedBinding { binding, pattern, filters });
        self.bindings.len() - 1
    }

    fn filter(&mut self, pattern: usize, filter: &'b Filter) -> (usize, Arc<str>) {
        let Filter { column, operator, value, .. } = filter;
        let place = self.filters.place((pattern, column, *operator, value));
        if place == self.values.len() {
            self.values.push(value.as_str().into());
        }
        (place, Arc::clone(&self.values[place]))
    }

    /// As `check.sql` reads it.
    pub(super) fn request(&self, publication: &str, role: &str) -> Value {
        let pattern = |(schema, table): &(&NamePattern, &NamePattern)| json!({ "schema": name(schema), "table": name(table) });
        let filter = |(pattern, column, operator, value): &(usize, &str, FilterOperator, &str)| json!({ "pattern": pattern, "column": column, "operator": operator.as_str(), "value": value });
        let selected = self.bindings.iter().flat_map(|asked| asked.binding.select.iter().flatten());
        let filtered = self.filters.all.iter().map(|(_, column, ..)| *column);
        let columns: BTreeSet<&str> = filtered.chain(selected.map(String::as_str)).collect();
        json!({
            "publication": publication,
            "role": role,
            "patterns": self.patterns.all.iter().map(pattern).collect::<Vec<_>>(),
            "filters": self.filters.all.iter().map(filter).collect::<Vec<_>>(),
            "columns": columns,
        })
    }
}

fn name(pattern: &NamePattern) -> Option<&str> {
    match pattern {
        NamePattern::Any => None,
        NamePattern::Exact(name) => Some(name),
    }
}
