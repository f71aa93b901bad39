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
use super::mailbox::Request;

/// Requests that wait.
#[derive(Default)]
pub(super) struct HeldMembers(VecDeque<HeldMember>);

struct HeldMember {
    id: MemberId,
    confirmation: JoinConfirmation,
    /// The first is its join.
    requests: Vec<Request>,
}

impl HeldMembers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds those of the requests that have to wait, and returns the others.
    pub(super) fn hold(&mut self, requests: Vec<Request>) -> Vec<Request> {
        requests.into_iter().filter_map(|request| self.hold_one(request)).collect()
    }

    fn hold_one(&mut self, request: Request) -> Option<Request> {
        match request {
            Request::Join(id, mut member) => match member.confirmation.take() {
                Some(confirmation) => {
                    let requests = vec![Request::Join(id, member)];
                    self.0.push_back(HeldMember { id, confirmation, requests });
                    None
                }
                None => Some(Request::Join(id, member)),
            },
            Request::Leave(id) => {
                let count = self.0.len();
                self.0.retain(|held| held.id != id);
                (self.0.len() == count).then_some(Request::Leave(id))
            }
            request => {
                let held = request.member().and_then(|id| self.0.iter_mut().find(|held| held.id == id));
                let Some(held) = held else { return Some(request) };
                held.requests.push(request);
                None
            }
        }
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
