//! Connections whose place in the room is not confirmed yet, and what they have sent since.
//!
//! A room that has just opened receives nothing of the other nodes before the bus has subscribed to it. A document that was read
//! before would lack what they have stored between; so it is read, and its members are answered, after that.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use hub::JoinConfirmation;

use super::MemberId;
use super::mailbox::MailboxBounds;
use super::request::Request;
use crate::close_reason::DocumentCloseReason;

/// Requests that wait.
#[derive(Default)]
pub(super) struct HeldMembers(VecDeque<HeldMember>);

struct HeldMember {
    id: MemberId,
    confirmation: JoinConfirmation,
    /// The first is its join.
    requests: Vec<Request>,
    /// Those that are bounded.
    messages: usize,
    bytes: usize,
}

impl HeldMember {
    /// Holds one more request, unless that is more than `bounds`.
    fn hold(&mut self, request: Request, bounds: MailboxBounds) -> bool {
        if let Some(bytes) = request.bounded_bytes() {
            self.messages += 1;
            self.bytes += bytes;
            if self.messages > 1 && (self.messages > bounds.messages || self.bytes > bounds.bytes) {
                return false;
            }
        }
        self.requests.push(request);
        true
    }

    /// Ends its use of the document.
    fn fail(self, reason: DocumentCloseReason) {
        for request in self.requests {
            if let Request::Join(_, member) = request {
                member.fail(reason);
            }
        }
    }
}

impl HeldMembers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the use of the document by all of them.
    pub(super) fn fail_all(&mut self, reason: DocumentCloseReason) {
        self.0.drain(..).for_each(|held| held.fail(reason));
    }

    /// Holds those of the requests that have to wait, and returns the others. Each member may have as much waiting as the mailbox.
    pub(super) fn hold(&mut self, requests: Vec<Request>, bounds: MailboxBounds) -> Vec<Request> {
        requests.into_iter().flat_map(|request| self.hold_one(request, bounds)).collect()
    }

    fn hold_one(&mut self, request: Request, bounds: MailboxBounds) -> Vec<Request> {
        match request {
            Request::Join(id, mut member) => match member.confirmation.take() {
                Some(confirmation) => {
                    let requests = vec![Request::Join(id, member)];
                    self.0.push_back(HeldMember { id, confirmation, requests, messages: 0, bytes: 0 });
                    Vec::new()
                }
                None => vec![Request::Join(id, member)],
            },
            // What it has sent is not lost; nothing confirms the place of one who has left.
            Request::Leave(id) => {
                let mut requests = self.remove(id).map_or_else(Vec::new, |held| held.requests);
                requests.push(Request::Leave(id));
                requests
            }
            request => {
                let held = request.member().and_then(|id| self.0.iter_mut().find(|held| held.id == id));
                let Some(held) = held else { return vec![request] };
                let id = held.id;
                if !held.hold(request, bounds) {
                    self.remove(id).into_iter().for_each(|held| held.fail(DocumentCloseReason::RateLimited));
                }
                Vec::new()
            }
        }
    }

    fn remove(&mut self, id: MemberId) -> Option<HeldMember> {
        let place = self.0.iter().position(|held| held.id == id);
        place.and_then(|place| self.0.remove(place))
    }

    /// The requests of a member whose place is confirmed by now.
    pub(super) fn poll_confirmed(&mut self, context: &mut Context<'_>) -> Poll<Vec<Request>> {
        let mut places = self.0.iter_mut();
        let confirmed = places.position(|held| Pin::new(&mut held.confirmation).poll(context).is_ready());
        match confirmed.and_then(|place| self.0.remove(place)) {
            Some(held) => Poll::Ready(held.requests),
            None => Poll::Pending,
        }
    }
}
