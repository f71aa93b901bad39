//! A channel that has subscribed to changes, and how it is written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hub::{Dialect, Frame, JoinConfirmation, Offer, Recipient};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use wire::phoenix::{self, Ref, Status};
use wire::supabase::changes::{Binding, BindingError};
use wire::supabase::{TOPIC_PREFIX, system};

use super::subscription_progress::SubscriptionProgress;
use super::viewer::Viewer;
use crate::auth::Claims;

/// What a client receives once changes flow, and again whenever its subscription was renewed.
const SUBSCRIBED: &str = "Subscribed to PostgreSQL";

/// The part of the server that its `system` messages come from.
const EXTENSION: &str = "postgres_changes";

/// What a channel subscribes with.
pub struct ChangesRequest {
    /// The member of the room.
    pub recipient: Recipient,
    /// That its join was answered: what is sent to it earlier would overtake the reply.
    pub confirmation: JoinConfirmation,
    /// The encoding that it uses.
    pub dialect: Dialect,
    /// Of its join.
    pub join_ref: Ref<'static>,
    /// The sub-topic.
    pub topic: Box<str>,
    /// Whether it has joined without `config`, and receives changes in the old form.
    pub is_legacy: bool,
    /// What it subscribes to, with the ids that the reply to the join gives them.
    pub bindings: Vec<(Box<RawValue>, u32)>,
    /// By whose rights rows are seen.
    pub claims: Arc<Claims>,
}

/// Why a join is refused that waits for its changes. What it is refused with is for the client.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// They did not flow in this time, with the reason if one is known.
    #[error(
        "Timed out after {}ms waiting for the postgres_changes subscription{}",
        .after.as_millis(), .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
    )]
    TimedOut {
        /// The time.
        after: Duration,
        /// Why the last attempt has failed.
        reason: Option<String>,
    },
    /// The client has to subscribe to something else.
    #[error("{0}")]
    Refused(String),
}

/// A channel with subscriptions.
#[derive(Debug)]
pub(super) struct ChangeSubscriber {
    /// Tells it apart from all others of this process.
    pub(super) id: u64,
    /// The member of the room.
    pub(super) recipient: Recipient,
    pub(super) dialect: Dialect,
    /// Of its join.
    pub(super) join_ref: Ref<'static>,
    /// The sub-topic.
    pub(super) topic: Box<str>,
    /// Whether it has joined without `config`, and receives changes in the old form.
    pub(super) is_legacy: bool,
    /// What it has subscribed to.
    pub(super) bindings: Box<[IdentifiedBinding]>,
    pub(super) progress: SubscriptionProgress<Viewer>,
    /// What was found of its subscription is put by one task at once.
    pub(super) settling: Semaphore,
}

/// A binding and its id.
#[derive(Debug)]
pub(super) struct IdentifiedBinding {
    pub(super) binding: Binding,
    pub(super) id: u32,
}

impl ChangeSubscriber {
    /// A channel that has not subscribed yet, when its join was answered, and what it asks for that cannot be read: then it has
    /// no bindings.
    pub(super) fn new(
        request: ChangesRequest,
        viewer: Arc<Viewer>,
    ) -> (Self, JoinConfirmation, Option<BindingError>) {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let ChangesRequest { recipient, confirmation, dialect, join_ref, topic, is_legacy, bindings, .. } =
            request;
        let parsed = bindings
            .iter()
            .map(|(binding, id)| Ok(IdentifiedBinding { binding: Binding::parse(binding)?, id: *id }))
            .collect();
        let (bindings, error) = match parsed {
            Ok(bindings) => (bindings, None),
            Err(error) => (Box::default(), Some(error)),
        };
        let subscriber = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            recipient,
            dialect,
            join_ref,
            topic,
            is_legacy,
            bindings,
            progress: SubscriptionProgress::new(viewer),
            settling: Semaphore::new(1),
        };
        (subscriber, confirmation, error)
    }

    /// What it receives when no table of the publication is meant.
    pub(super) fn no_table_text(&self) -> String {
        self.bindings.first().map(|first| first.binding.no_table_text()).unwrap_or_default()
    }

    /// Whether it has subscribed to a table of this name.
    pub(super) fn names(&self, schema: &str, table: &str) -> bool {
        let mut bindings = self.bindings.iter().map(|identified| &identified.binding);
        bindings.any(|binding| binding.schema.matches(schema) && binding.table.matches(table))
    }

    /// Sends that its subscription is complete.
    pub(super) fn notice_subscribed(&self) {
        self.recipient.reply(&self.subscribed_frame());
    }

    /// The message that its subscription is complete.
    pub(super) fn subscribed_frame(&self) -> Frame {
        self.notice_frame(Status::Ok, SUBSCRIBED)
    }

    /// Sends why it cannot subscribe to this.
    pub(super) fn refuse(&self, reason: &str) {
        self.notice(Status::Error, reason);
    }

    /// Sends why it receives nothing at the moment, which is tried again. With the status `error` the Python client would join again,
    /// and end when the server closes the join before it; the Dart client would report a failure of the channel.
    pub(super) fn notice_failure(&self, reason: &str) {
        self.notice(Status::Ok, reason);
    }

    /// Sends a `system` message about its subscription.
    pub(super) fn notice(&self, status: Status, text: &str) {
        self.recipient.reply(&self.notice_frame(status, text));
    }

    fn notice_frame(&self, status: Status, text: &str) -> Frame {
        let payload = system(EXTENSION, status, text, &self.topic);
        let topic = format!("{TOPIC_PREFIX}{}", self.topic);
        phoenix::push(self.dialect, self.join_ref.as_json(), &topic, "system", &payload)
    }

    /// Sends a change. If it is not queued, the client is notified that it has missed messages. `None` if it has left.
    pub(super) fn send(&self, frame: &Frame) -> Option<Offer> {
        self.recipient.offer(frame, 1)
    }
}
