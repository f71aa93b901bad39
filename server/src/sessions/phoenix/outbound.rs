//! What is sent to one client alone, encoded in the client's dialect.

use std::sync::Arc;

use hub::{Dialect, Frame, Outbox};
use wire::phoenix::{self, Ref, Status};
use wire::supabase::{TOPIC_PREFIX, system};

use crate::telemetry::request_context::RequestContext;

/// A client's outbox and dialect.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) outbox: Arc<Outbox>,
    pub(super) dialect: Dialect,
    /// Names the client's handshake in log lines.
    pub(super) context: Arc<RequestContext>,
}

impl Outbound {
    pub(super) fn send(&self, frame: &Frame) {
        self.outbox.reply(frame);
    }

    /// Answers a message; `response` is a JSON object.
    pub(super) fn reply(
        &self,
        join_ref: &Ref<'_>,
        reference: &Ref<'_>,
        topic: &str,
        status: Status,
        response: &str,
    ) {
        self.send(&self.reply_frame(join_ref, reference, topic, status, response));
    }

    pub(super) fn reply_frame(
        &self,
        join_ref: &Ref<'_>,
        reference: &Ref<'_>,
        topic: &str,
        status: Status,
        response: &str,
    ) -> Frame {
        phoenix::reply(self.dialect, join_ref.as_json(), reference.as_json(), topic, status, response)
    }

    /// Sends a `system` message about the topic, from the part of the server called `extension`.
    pub(super) fn system(
        &self,
        join_ref: &Ref<'_>,
        topic: &str,
        extension: &str,
        status: Status,
        message: &str,
    ) {
        self.send(&self.system_frame(join_ref, topic, extension, status, message));
    }

    pub(super) fn system_frame(
        &self,
        join_ref: &Ref<'_>,
        topic: &str,
        extension: &str,
        status: Status,
        message: &str,
    ) -> Frame {
        let sub_topic = topic.strip_prefix(TOPIC_PREFIX).unwrap_or(topic);
        let payload = system(extension, status, message, sub_topic);
        phoenix::push(self.dialect, join_ref.as_json(), topic, "system", &payload)
    }

    /// Ends the join with `join_ref` for good.
    pub(super) fn closed(&self, join_ref: &Ref<'_>, topic: &str) {
        self.send(&phoenix::closed(self.dialect, join_ref.as_json(), topic));
    }

    /// Ends the join with `join_ref`; the client may join again.
    pub(super) fn errored(&self, join_ref: &Ref<'_>, topic: &str) {
        self.send(&phoenix::crashed(self.dialect, join_ref.as_json(), topic));
    }
}
