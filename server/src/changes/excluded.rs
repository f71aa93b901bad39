//! What the database is not asked for now, because it took too long a moment ago, or could not be answered.

use std::collections::HashMap;
use std::time::Duration;

use hub::ConnectionId;
use tokio::time::Instant;

use super::excluded_viewers::ExcludedViewers;
use super::filters_in_time::{ComparedFilter, FiltersInTime};
use super::slow_filters::SlowFilters;
use super::viewer::Viewer;

/// What is not asked for.
#[derive(Default)]
pub(super) struct Excluded {
    filters: HashMap<ComparedFilter, Instant>,
    pub(super) slow_filters: SlowFilters,
    /// Filters that are asked for nevertheless.
    pub(super) in_time: FiltersInTime<ConnectionId>,
    pub(super) viewers: ExcludedViewers<Viewer>,
    /// Tables whose generated columns are not read.
    generated: HashMap<u32, Instant>,
    /// Types whose values are not converted.
    conversions: HashMap<u32, Instant>,
}

impl Excluded {
    /// Asks again for what was excluded so long ago.
    pub(super) fn forget_after(&mut self, pause: Duration) {
        let Self { filters, slow_filters, in_time, viewers, generated, conversions } = self;
        filters.retain(|_, since| since.elapsed() < pause);
        slow_filters.forget_after(pause, Instant::now());
        in_time.forget_after(pause, Instant::now());
        viewers.forget_after(pause, Instant::now());
        generated.retain(|_, since| since.elapsed() < pause);
        conversions.retain(|_, since| since.elapsed() < pause);
    }

    /// Whether comparisons with a filter took too long.
    pub(super) fn has_filter(&self, filter: &ComparedFilter) -> bool {
        !self.filters.is_empty() && self.filters.contains_key(filter)
    }

    /// Notes that they did. Returns whether that is new.
    pub(super) fn add_filter(&mut self, filter: &ComparedFilter) -> bool {
        self.in_time.remove(filter);
        self.filters.insert(filter.clone(), Instant::now()).is_none()
    }

    /// Whether the generated columns of a table could not be read.
    pub(super) fn has_generated(&self, table: u32) -> bool {
        self.generated.contains_key(&table)
    }

    /// Notes that they could not.
    pub(super) fn add_generated(&mut self, table: u32) {
        self.generated.insert(table, Instant::now());
    }

    /// Whether values of a type took too long.
    pub(super) fn has_conversion(&self, type_oid: u32) -> bool {
        self.conversions.contains_key(&type_oid)
    }

    /// Notes that they did.
    pub(super) fn add_conversion(&mut self, type_oid: u32) {
        self.conversions.insert(type_oid, Instant::now());
    }
}
