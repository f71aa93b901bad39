//! Earlier messages for a member that joins (`config.broadcast.replay`; docs/protocol/history.md).
//!
//! They have two sources: what the database of the tenant has sent to a private room, and what the room keeps itself
//! ([`history`]). Both are read when the join is confirmed, so that whatever is not found is received.

use std::collections::HashSet;
use std::iter::Peekable;

use hub::{HistoryQuery, KeptMessage, MemoryCharge, Privacy, Repeats, RoomKey};
use wire::phoenix::UserPayload;
use wire::supabase::ReplayRequest;

use super::history::{self, CLOCK_SKEW, HistoryError, KeptBroadcast, ReadHistory, time_of};
use crate::auth::QuestionTurn;
use crate::bus::Connectivity;
use crate::node::Node;
use crate::tenants::{
    Databases, MessageRecord, MessageRecords, RecordPayload, RecordsError, RecordsQuery, Tenant,
};

/// Messages that a join is sent of a room without history, and that are sent without a `limit`, as upstream has it.
const LIMIT: usize = 25;

/// What was read, the oldest message first.
#[derive(Debug)]
pub struct EarlierMessages {
    /// The messages. Their ids differ.
    pub messages: Vec<EarlierMessage>,
    /// Whether these are all that the client asks for, if it asks for all that follow those it has.
    pub is_complete: bool,
    /// Whether a member may receive one of them after they were read.
    pub repeats: Repeats,
    _charges: (Option<MemoryCharge>, Option<ReadHistory>),
}

/// A message from one of the sources.
#[derive(Debug)]
pub enum EarlierMessage {
    /// Of the history of the room.
    Kept(KeptMessage),
    /// Of the database.
    Recorded(MessageRecord),
}

/// Why earlier messages cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The database.
    #[error(transparent)]
    Database(#[from] RecordsError),
    /// The history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The join has waited for longer than `server.authorization_timeout`.
    #[error("the messages were not read within `server.authorization_timeout`")]
    TimedOut,
}

impl EarlierMessage {
    /// Its `meta.id`.
    pub fn id(&self) -> u128 {
        match self {
            Self::Kept(message) => message.id,
            Self::Recorded(record) => record.id,
        }
    }

    /// The user's event, and the inner payload.
    pub fn content(&self) -> Option<(&str, UserPayload<'_>)> {
        match self {
            Self::Kept(message) => KeptBroadcast::of(message).map(|kept| (kept.event, kept.payload)),
            Self::Recorded(MessageRecord { event, payload, .. }) => {
                let payload = match payload {
                    RecordPayload::Json(text) => UserPayload::Json(text),
                    RecordPayload::Bytes(bytes) => UserPayload::Binary(bytes),
                };
                Some((event, payload))
            }
        }
    }

    fn sent_at(&self) -> u64 {
        match self {
            Self::Kept(message) => message.sent_at,
            Self::Recorded(record) => record.sent_at,
        }
    }

    /// About as many bytes as a client receives.
    fn len(&self) -> usize {
        match self {
            Self::Kept(message) => message.frame.len(),
            Self::Recorded(record) => record.len(),
        }
    }
}

impl EarlierMessages {
    /// Leaves as many of the newest messages as have `max` bytes, and one in any case. If that are not all, it is incomplete.
    pub fn fit(&mut self, max: usize) {
        let mut bytes = 0;
        let fitting = self.messages.iter().rev().take_while(|message| {
            let is_first = bytes == 0;
            bytes += message.len();
            is_first || bytes <= max
        });
        self.drop_all_but(fitting.count());
    }

    fn drop_all_but(&mut self, newest: usize) {
        let surplus = self.messages.len().saturating_sub(newest);
        if surplus > 0 {
            self.is_complete = false;
            self.messages.drain(..surplus);
        }
    }
}

/// Reads what a join asks for, the database in a turn of its client. To be called when the join is confirmed.
///
/// # Errors
/// When a source cannot be read: a part would be taken for all.
pub async fn read(
    node: &Node,
    databases: &Databases,
    tenant: &Tenant,
    room: &RoomKey,
    request: &ReplayRequest,
    turn: impl Future<Output = QuestionTurn>,
) -> Result<EarlierMessages, ReplayError> {
    let policy = tenant.policy();
    let keeps = tenant.keeps_history_of(&room.topic);
    let max = if keeps { policy.history().max_replay.get() as usize } else { LIMIT };
    let wanted = if request.after.is_empty() { LIMIT } else { max };
    let limit = request.limit.map_or(wanted, |limit| limit as usize).min(max);
    let records = match room.privacy {
        Privacy::Private if policy.database().is_some() => {
            Some(databases.records(&tenant.id, records_query(room, request, limit), turn).await?)
        }
        Privacy::Private | Privacy::Public => None,
    };
    let kept = if keeps {
        let since = request.since.and_then(|since| u64::try_from(since).ok());
        // Those of the database say how far back the messages of the client reach, if those of the room do not.
        let known_at = records.as_ref().and_then(|records| records.known_at);
        let is_of_room = |id: &u128| time_of(*id).is_some();
        let known_at = known_at.filter(|_| !request.after.iter().any(is_of_room));
        let since = since.max(known_at.map(|time| time.saturating_sub(CLOCK_SKEW.as_millis() as u64)));
        let query = HistoryQuery { since, after: request.after.clone(), limit };
        Some(history::read(node, tenant, room, query).await?)
    } else {
        None
    };
    let is_alone = records.is_none() && node.link.connectivity() == Connectivity::Standalone;
    let repeats =
        if is_alone { Repeats::Excluded } else { Repeats::Possible { within: history::UNCONFIRMED_AGE } };
    let mut earlier = merged(records, kept, (limit, repeats));
    // The newest ones, as many as it has asked for.
    earlier.is_complete |= request.after.is_empty();
    Ok(earlier)
}

fn records_query(room: &RoomKey, request: &ReplayRequest, limit: usize) -> RecordsQuery {
    let time = request.after.iter().filter_map(|id| time_of(*id)).min();
    RecordsQuery {
        topic: room.topic.clone(),
        since: request.since,
        after: request.after.clone(),
        after_time: time.map(|time| time.saturating_sub(CLOCK_SKEW.as_millis() as u64)),
        limit,
    }
}

/// The messages of both sources in the order of their times; those of one source stay in their own order.
fn merged(
    records: Option<MessageRecords>,
    kept: Option<ReadHistory>,
    (limit, repeats): (usize, Repeats),
) -> EarlierMessages {
    let is_complete = records.as_ref().is_none_or(|records| records.is_complete)
        && kept.as_ref().is_none_or(|kept| kept.is_complete);
    let (records, records_charge) =
        records.map_or_else(Default::default, |records| (records.messages, Some(records.charge)));
    let (kept_messages, kept_charge) =
        kept.map_or_else(Default::default, |mut kept| (std::mem::take(&mut kept.messages), Some(kept)));
    let ids: HashSet<u128> = records.iter().map(|record| record.id).collect();
    let kept_messages = kept_messages.into_iter().filter(|message| !ids.contains(&message.id));
    let sources = (
        records.into_iter().map(EarlierMessage::Recorded).peekable(),
        kept_messages.map(EarlierMessage::Kept).peekable(),
    );
    let messages = in_order(sources).collect();
    let mut earlier =
        EarlierMessages { messages, is_complete, repeats, _charges: (records_charge, kept_charge) };
    earlier.drop_all_but(limit);
    earlier
}

fn in_order(
    (mut one, mut other): (
        Peekable<impl Iterator<Item = EarlierMessage>>,
        Peekable<impl Iterator<Item = EarlierMessage>>,
    ),
) -> impl Iterator<Item = EarlierMessage> {
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.sent_at() < first.sent_at() => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}
