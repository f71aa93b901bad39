//! Changes as they are sent: written once for those who see the same, framed once for those with the same subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use hub::{Dialect, Encode as _, Frame};
use wire::pgoutput::{OldRow, Row};
use wire::supabase::changes::{ChangeEnvelope, ChangeType, ChangedRows, LegacyChange, RowChange, RowImage};

use super::log_table::LogChange;
use super::matching::{Candidate, Match, Matches};
use super::role_view::ChangeLayout;
use super::subscriber::ChangeSubscriber;
use crate::tenants::database::changes::RowRights;

/// A message to one channel.
pub(super) struct Outgoing {
    pub(super) subscriber: Arc<ChangeSubscriber>,
    pub(super) frame: Frame,
}

/// How changes are written, for those that are handled together.
#[derive(Default)]
pub(super) struct Layouts(HashMap<LayoutKey, ChangeLayout>);

/// A table, a role that is known by the address of its view, and a selection.
type LayoutKey = (u32, usize, Option<Arc<[usize]>>);

/// Who receives the same frame of a change: the data by its place, the topic, the form, the bindings.
type FrameKey<'m> = (usize, &'m str, Dialect, bool, Vec<u32>);

/// Writes one change for those that its matches name, and that `may_send` says it may be sent to: it is given the channel, and how
/// many of its bindings match. The values of a row have at most `record_bytes_max` bytes.
pub(super) fn write(
    change: &LogChange<'_>,
    (matches, of_change): (&Matches, &[Match]),
    (layouts, record_bytes_max): (&mut Layouts, usize),
    mut may_send: impl FnMut(&ChangeSubscriber, u32) -> bool,
) -> Vec<Outgoing> {
    let mut written = WrittenChange { change, data: Vec::new(), frames: HashMap::new() };
    let mut outgoing = Vec::new();
    for (same, ids) in by_receiver(matches, of_change) {
        if !may_send(&same.subscriber, u32::try_from(ids.len()).unwrap_or(u32::MAX)) {
            continue;
        }
        let key = (change.log_table.table.oid, Arc::as_ptr(&same.view).addr(), same.select.clone());
        let layout = layouts
            .0
            .entry(key.clone())
            .or_insert_with(|| same.view.layout(&change.log_table, same.select.as_ref()));
        let data = written.data(same, key, layout, record_bytes_max);
        let Some(frame) = written.frame(&same.subscriber, data, ids) else { continue };
        outgoing.push(Outgoing { subscriber: Arc::clone(&same.subscriber), frame });
    }
    outgoing
}

/// The matches of each channel that have selected the same columns, with the ids of their bindings, the last one first, as
/// upstream has them.
fn by_receiver<'m>(matches: &'m Matches, of_change: &[Match]) -> Vec<(&'m Candidate, Vec<u32>)> {
    if let [only] = of_change {
        let candidate = matches.candidate(*only);
        return vec![(candidate, vec![candidate.id])];
    }
    let mut receivers: Vec<(&Candidate, Vec<u32>)> = Vec::with_capacity(of_change.len());
    let mut places: HashMap<(u64, Option<&[usize]>, bool), usize> = HashMap::new();
    for found in of_change.iter().map(|one| matches.candidate(*one)) {
        let key = (found.subscriber.id, found.select.as_deref(), found.refused.is_some());
        let place = *places.entry(key).or_insert_with(|| {
            receivers.push((found, Vec::new()));
            receivers.len() - 1
        });
        receivers[place].1.insert(0, found.id);
    }
    receivers
}

/// A change that is being sent.
struct WrittenChange<'c, 'm> {
    change: &'c LogChange<'c>,
    /// As those see it who see the same: by what they see, and why it is not the row.
    data: Vec<((LayoutKey, bool), String)>,
    frames: HashMap<FrameKey<'m>, Option<Frame>>,
}

impl<'m> WrittenChange<'_, 'm> {
    /// The place of the change as `found` sees it.
    fn data(&mut self, found: &Candidate, key: LayoutKey, layout: &ChangeLayout, bytes_max: usize) -> usize {
        let key = (key, found.refused.is_some());
        if let Some(place) = self.data.iter().position(|(known, _)| *known == key) {
            return place;
        }
        let (change, table) = (self.change, &self.change.log_table.table);
        let json = match found.refused {
            Some(refused) => refused.to_json(&table.schema, &table.name, change.change),
            None => {
                let is_guarded = found.view.rows != RowRights::Everyone || table.has_rls;
                let rows = changed_rows(change, layout, is_guarded);
                let (schema, name) = (&*table.schema, &*table.name);
                let (committed_at, columns) = (change.committed_at, &*layout.columns);
                RowChange { schema, table: name, committed_at, columns, rows }.to_json(bytes_max).json
            }
        };
        self.data.push((key, json));
        self.data.len() - 1
    }

    /// The frame for a channel. `None` if its dialect has none.
    fn frame(&mut self, subscriber: &'m ChangeSubscriber, place: usize, ids: Vec<u32>) -> Option<Frame> {
        let ChangeSubscriber { topic, dialect, is_legacy, .. } = subscriber;
        let (data, change) = (&*self.data[place].1, self.change.change);
        let key = (place, &**topic, *dialect, *is_legacy, ids);
        if let Some(frame) = self.frames.get(&key) {
            return frame.clone();
        }
        let frame = if *is_legacy {
            LegacyChange { change, data }.encode(topic, *dialect)
        } else {
            ChangeEnvelope { ids: &key.4, data }.encode(topic, *dialect)
        };
        self.frames.entry(key).or_insert(frame).clone()
    }
}

/// The rows of a change. Of a deleted row of a table with row level security only the key is known to be visible.
fn changed_rows<'a>(change: &LogChange<'a>, layout: &'a ChangeLayout, is_guarded: bool) -> ChangedRows<'a> {
    let image = |layout, row| RowImage { layout, row, unchanged_from: None };
    let before = |old: Option<OldRow<'a>>, new: Option<Row<'a>>| match (old, new) {
        (Some(OldRow::Full(row)), Some(_)) => image(&layout.record, row),
        (Some(OldRow::Full(row)), None) if is_guarded => image(&layout.key, row),
        (Some(OldRow::Full(row)), None) => image(&layout.record, row),
        (Some(OldRow::Key(row)), None) if is_guarded => image(&layout.key, row),
        (Some(OldRow::Key(row)), _) => image(&layout.identity, row),
        (None, Some(row)) => image(&layout.identity, row),
        (None, None) => unreachable!("a change has a row after or before"),
    };
    let unchanged_from = match change.old {
        Some(OldRow::Full(row)) => Some(row),
        Some(OldRow::Key(_)) | None => None,
    };
    match (change.change, change.new) {
        (ChangeType::Insert, Some(row)) => ChangedRows::Insert { record: image(&layout.record, row) },
        (ChangeType::Update, Some(row)) => ChangedRows::Update {
            record: RowImage { layout: &layout.record, row, unchanged_from },
            old_record: before(change.old, change.new),
        },
        _ => ChangedRows::Delete { old_record: before(change.old, None) },
    }
}
