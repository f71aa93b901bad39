//! Changes as they are sent: written once for those who see the same, framed once for those with the same subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use hub::{Dialect, Encode as _, Frame};
use metrics::Histogram;
use wire::pgoutput::OldRow;
use wire::supabase::changes::{ChangeEnvelope, ChangedRows, LegacyChange, RowChange, RowImage};

use super::by_address::ByAddress;
use super::log_change::{LogChange, LogRows};
use super::matching::{Candidate, Match, Matches};
use super::role_privileges::{ChangeLayout, RolePrivileges};
use super::subscriber::ChangeSubscriber;
use crate::tenants::database::changes::RowRights;

/// What is kept of one change for receivers that follow, in bytes: of its data, and as much of its frames. Clients choose how many
/// differ, with selections and topics of their own: all of them at once would be hundreds of times a large row.
const KEPT_BYTES: usize = 2 * 1024 * 1024;

/// How changes are written, for those that are handled together.
#[derive(Default)]
pub(super) struct Layouts(HashMap<LayoutKey, ChangeLayout>);

/// A table, what a role may read of it, and a selection.
type LayoutKey = (u32, ByAddress<RolePrivileges>, Option<Arc<[usize]>>);

/// Who receives the same frame of a change: the data by its place, the topic, the form, the bindings.
type FrameKey<'m> = (usize, &'m str, Dialect, bool, Vec<u32>);

/// The matches of each channel that have selected the same columns, with the ids of their bindings, the last one first, as
/// upstream has them.
pub(super) fn by_receiver<'m>(matches: &'m Matches, of_change: &[Match]) -> Vec<(&'m Candidate, Vec<u32>)> {
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
pub(super) struct WrittenChange<'c, 'm> {
    change: &'c LogChange<'c>,
    layouts: &'c mut Layouts,
    /// The values of a row have at most so many bytes.
    record_bytes_max: usize,
    /// The sizes of what was written.
    sizes: &'c Histogram,
    /// As those see it who see the same.
    data: Vec<String>,
    /// Where it is, by what they see, and whether that is why it is not the row.
    places: HashMap<(LayoutKey, bool), usize>,
    data_bytes: usize,
    frames: HashMap<FrameKey<'m>, Option<Frame>>,
    frame_bytes: usize,
}

impl<'c, 'm> WrittenChange<'c, 'm> {
    /// Nothing is written yet.
    pub(super) fn new(
        change: &'c LogChange<'c>,
        (layouts, record_bytes_max): (&'c mut Layouts, usize),
        sizes: &'c Histogram,
    ) -> Self {
        let (data, places, frames) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { change, layouts, record_bytes_max, sizes, data, places, data_bytes: 0, frames, frame_bytes: 0 }
    }

    /// The frame for the channel of a match, with the ids of its bindings. `None` if its dialect has none.
    pub(super) fn frame(&mut self, to: &'m Candidate, ids: Vec<u32>) -> Option<Frame> {
        if self.data_bytes.max(self.frame_bytes) > KEPT_BYTES {
            self.frames.clear();
            self.frame_bytes = 0;
        }
        // Frames are known by the places of their data.
        if self.data_bytes > KEPT_BYTES {
            self.data.clear();
            self.places.clear();
            self.data_bytes = 0;
        }
        let place = self.data(to);
        self.framed(&to.subscriber, place, ids)
    }

    /// The place of the change as `found` sees it.
    fn data(&mut self, found: &Candidate) -> usize {
        let key = (self.change.log_table.table.oid, ByAddress::of(&found.privileges), found.select.clone());
        let key = (key, found.refused.is_some());
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let (change, table) = (self.change, &self.change.log_table.table);
        let json = match found.refused {
            Some(refused) => refused.to_json(&table.schema, &table.name, change.rows.change_type()),
            None => {
                let layout = self.layouts.0.entry(key.0.clone());
                let layout = layout
                    .or_insert_with(|| found.privileges.layout(&change.log_table, found.select.as_ref()));
                let is_guarded = found.privileges.rows != RowRights::Everyone || table.has_rls;
                let rows = changed_rows(change, layout, is_guarded);
                let (schema, name) = (&*table.schema, &*table.name);
                let (committed_at, columns) = (change.committed_at, &*layout.columns);
                RowChange { schema, table: name, committed_at, columns, rows }
                    .to_json(self.record_bytes_max)
                    .json
            }
        };
        self.sizes.record(json.len() as f64);
        self.data_bytes += json.len();
        self.data.push(json);
        self.places.insert(key, self.data.len() - 1);
        self.data.len() - 1
    }

    /// The frame for a channel, with the data at this place.
    fn framed(&mut self, subscriber: &'m ChangeSubscriber, place: usize, ids: Vec<u32>) -> Option<Frame> {
        let ChangeSubscriber { topic, dialect, is_legacy, .. } = subscriber;
        let (data, change) = (&*self.data[place], self.change.rows.change_type());
        let key = (place, &**topic, *dialect, *is_legacy, ids);
        if let Some(frame) = self.frames.get(&key) {
            return frame.clone();
        }
        let frame = if *is_legacy {
            LegacyChange { change, data }.encode(topic, *dialect)
        } else {
            ChangeEnvelope { ids: &key.4, data }.encode(topic, *dialect)
        };
        self.frame_bytes += frame.as_ref().map_or(0, Frame::len);
        self.frames.entry(key).or_insert(frame).clone()
    }
}

/// The rows of a change. Of a deleted row of a table with row level security only the key is known to be visible.
fn changed_rows<'a>(change: &LogChange<'a>, layout: &'a ChangeLayout, is_guarded: bool) -> ChangedRows<'a> {
    let image = |layout, row| RowImage { layout, row, unchanged_from: None };
    match change.rows {
        LogRows::Insert(new) => ChangedRows::Insert { record: image(&layout.record, new) },
        LogRows::Update { new, old } => {
            let (old_record, unchanged_from) = match old {
                Some(OldRow::Full(old)) => (image(&layout.record, old), Some(old)),
                Some(OldRow::Key(old)) => (image(&layout.identity, old), None),
                None => (image(&layout.identity, new), None),
            };
            ChangedRows::Update {
                record: RowImage { layout: &layout.record, row: new, unchanged_from },
                old_record,
            }
        }
        LogRows::Delete(old) => ChangedRows::Delete {
            old_record: match old {
                OldRow::Full(row) | OldRow::Key(row) if is_guarded => image(&layout.key, row),
                OldRow::Full(row) => image(&layout.record, row),
                OldRow::Key(row) => image(&layout.identity, row),
            },
        },
    }
}
