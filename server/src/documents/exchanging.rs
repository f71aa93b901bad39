//! What a document exchanges with the same document on other nodes.
//!
//! An update is published to the other nodes once it is stored. So a node shows its members nothing of another node that could be lost
//! with that node, and a node that may have missed something reads the store again, which has it. The awareness is not stored: a
//! node asks the others for it when a document opens, and when it may have missed something.

use std::time::Duration;

use bytes::Bytes;
use hub::NodeId;
use tokio::time::Instant;
use tracing::debug;
use wire::relay::DocumentMessage;
use wire::yjs::DocumentUpdate;

use super::content::Applied;
use super::event::DocumentEvent;
use super::loading::{self, LoadedContent, bytes_of, updates_of};
use super::log::LogContent;
use super::mailbox::DocumentNotices;
use super::publishing::{decoded, encoded};
use super::request::PeerMessage;
use super::task::{DocumentTask, REFUSED_INTERVAL};
use super::turn::Turn;
use crate::close_reason::DocumentCloseReason;

/// Updates beyond this size are not published: the others read them from the store. A bus may end the connection of a subscriber for
/// which too much waits.
const UPDATE_BYTES_MAX: usize = 256 * 1024;

/// When others are notified of what did not fit into the queue to them.
const NOTIFY_INTERVAL: Duration = Duration::from_secs(1);

impl DocumentTask {
    /// The first member on this node has come.
    pub(super) fn note_opened(&mut self) {
        if self.document.documents.are_shared() {
            self.relay(&DocumentMessage::Question);
            // While there was no member, nothing of the others came.
            if self.content.is_some() {
                self.exchange.read_at = Some(Instant::now());
            }
        }
    }

    /// Takes note of what has become of the other nodes, and of the store.
    pub(super) fn note(&mut self, notices: DocumentNotices) {
        let DocumentNotices { lost, version, has_missed, was_away } = notices;
        for node in lost {
            let removed = self.parked.awareness.remove_node(node, std::time::Instant::now());
            self.show_awareness(removed);
        }
        if was_away {
            let own = self.parked.awareness.renew_own(std::time::Instant::now());
            self.publish_awareness(own);
        }
        if (has_missed || was_away) && !self.parked.members.is_empty() {
            self.relay(&DocumentMessage::Question);
        }
        self.exchange.version = version.or(self.exchange.version.take());
        if has_missed {
            self.exchange.read_at = Some(Instant::now());
        }
    }

    pub(super) fn sort_peer_message(&mut self, node: NodeId, message: PeerMessage, turn: &mut Turn) {
        match message {
            PeerMessage::Update(row, update) => turn.peer_updates.push((row, update)),
            PeerMessage::Stored => self.exchange.read_at = Some(Instant::now()),
            PeerMessage::States(states) => {
                let (states, limits) = (decoded(&states), self.awareness_limits());
                let received =
                    self.parked.awareness.receive_of_node(node, states, &limits, std::time::Instant::now());
                self.show_awareness(received.changed);
                self.publish_awareness(received.kept);
            }
            PeerMessage::Question => {
                let own = self.parked.awareness.own_states();
                if !own.is_empty() {
                    self.relay(&DocumentMessage::States(&encoded(&own)));
                }
            }
            PeerMessage::Stateless(payload) => self.publish(DocumentEvent::Stateless(&payload), None),
        }
    }

    /// Publishes an update to the other nodes, which is stored.
    pub(super) fn relay_update(&mut self, row: i64, update: &[u8]) {
        let message = if update.len() > UPDATE_BYTES_MAX {
            DocumentMessage::Stored
        } else {
            DocumentMessage::Update { row, update }
        };
        if !self.relay(&message) {
            self.exchange.notify_at = Some(Instant::now() + NOTIFY_INTERVAL);
        }
    }

    /// Publishes a message to the other nodes. Returns whether it is on its way; while they cannot be reached it need not be, because they
    /// look for what they lack when they are again.
    pub(super) fn relay(&self, message: &DocumentMessage<'_>) -> bool {
        let documents = &self.document.documents;
        let hub = &documents.node.hub;
        if !hub.has_relay() || !documents.are_shared() {
            return true;
        }
        message.encode().is_some_and(|frame| hub.publish_elsewhere(&self.document.room, &frame))
    }

    /// Applies updates of other nodes, and sends them to the members.
    pub(super) async fn apply_peer_updates(&mut self, updates: Vec<(i64, Bytes)>) {
        let (valid, malformed): (Vec<_>, Vec<_>) =
            updates.into_iter().partition(|(_, update)| DocumentUpdate::decode(update).is_ok());
        if !malformed.is_empty() {
            debug!(count = malformed.len(), "Ignored updates of other nodes that cannot be read");
        }
        if valid.is_empty() {
            return;
        }
        self.document.log.add(valid.iter().map(|(row, update)| (*row, update.len())));
        let updates: Vec<Bytes> = valid.into_iter().map(|(_, update)| update).collect();
        let kept = updates.clone();
        let apply = move |mut loaded: LoadedContent| {
            let applied = loaded.content.apply(updates.iter().map(|update| &**update), usize::MAX).ok();
            loaded.recharge();
            (applied.is_some().then_some(loaded), applied)
        };
        let bytes = self
            .content
            .as_ref()
            .map_or(0, |loaded| loaded.content.cost_to_apply(kept.iter().map(|update| &**update)).bytes);
        match self.with_content(bytes, apply).await.flatten() {
            Some(applied) => self.publish_applied(&applied),
            // Without content in memory. It is loaded again when it is needed.
            None => kept.iter().for_each(|update| self.publish(DocumentEvent::Update(update), None)),
        }
    }

    /// Sends the members what is new in updates that were applied.
    fn publish_applied(&mut self, applied: &Applied) {
        if let Applied::Update(update) = applied {
            self.publish(DocumentEvent::Update(update), None);
        }
    }

    /// Does what is due for the other nodes, and because of them.
    pub(super) async fn settle_exchange(&mut self, now: Instant) {
        if !self.unsaved.is_appending()
            && let Some(version) = self.exchange.version.take()
            && self.document.log.lacks(&version)
        {
            self.exchange.read_at = Some(now);
        }
        if self.exchange.notify_at.is_some_and(|at| now >= at) {
            let is_sent = self.relay(&DocumentMessage::Stored);
            self.exchange.notify_at = (!is_sent).then(|| now + NOTIFY_INTERVAL);
        }
        if self.exchange.read_at.is_some_and(|at| now >= at) {
            let read = self.read_again().await;
            self.exchange.read_at = read.is_err().then(|| Instant::now() + REFUSED_INTERVAL);
        }
    }

    /// Reads what is stored, and sends the members what is new in it.
    async fn read_again(&mut self) -> Result<(), DocumentCloseReason> {
        if self.content.is_none() {
            // Who opens it later reads it all.
            return if self.parked.members.is_empty() { Ok(()) } else { self.load().await };
        }
        let stored = loading::read(&self.document).await.map_err(|error| self.note_unread(&error))?;
        let (log, bytes) = (LogContent::of(&stored), bytes_of(&stored));
        let apply = move |mut loaded: LoadedContent| {
            let applied = loaded.content.apply(updates_of(&stored), usize::MAX).ok();
            loaded.recharge();
            (applied.is_some().then_some(loaded), applied)
        };
        let Some(applied) = self.with_content(bytes, apply).await.flatten() else { return self.load().await };
        self.document.log.set(log);
        self.publish_applied(&applied);
        Ok(())
    }
}
