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
use super::mailbox::MailboxLoad;
use super::request::Request;

/// Requests that wait.
#[derive(Default)]
pub(super) struct HeldMembers {
    members: VecDeque<HeldMember>,
    load: MailboxLoad,
}

struct HeldMember {
    id: MemberId,
    confirmation: JoinConfirmation,
    /// The first is its join.
    requests: Vec<Request>,
}

impl HeldMembers {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What waits here, which counts against the bounds of the mailbox still.
    pub(super) fn load(&self) -> MailboxLoad {
        self.load
    }

    /// Everything that is held.
    pub(super) fn take_all(&mut self) -> Vec<Request> {
        self.load = MailboxLoad::default();
        self.members.drain(..).flat_map(|held| held.requests).collect()
    }

    /// Holds those of the requests that have to wait, and returns the others.
    pub(super) fn hold(&mut self, requests: Vec<Request>) -> Vec<Request> {
        requests.into_iter().flat_map(|request| self.hold_one(request)).collect()
    }

    fn hold_one(&mut self, request: Request) -> Vec<Request> {
        match request {
            Request::Join(id, mut member) => match member.confirmation.take() {
                Some(confirmation) => {
                    let requests = vec![Request::Join(id, member)];
                    self.members.push_back(HeldMember { id, confirmation, requests });
                    Vec::new()
                }
                None => vec![Request::Join(id, member)],
            },
            // What it has sent is not lost; nothing confirms the place of one who has left.
            Request::Leave(id) => {
                let place = self.members.iter().position(|held| held.id == id);
                let mut requests = place.map_or_else(Vec::new, |place| self.release(place));
                requests.push(Request::Leave(id));
                requests
            }
            request => {
                let held = request.member().and_then(|id| self.members.iter_mut().find(|held| held.id == id));
                let Some(held) = held else { return vec![request] };
                self.load.add(&request);
                held.requests.push(request);
                Vec::new()
            }
        }
    }

    /// The requests of a member whose place is confirmed by now.
    pub(super) fn poll_confirmed(&mut self, context: &mut Context<'_>) -> Poll<Vec<Request>> {
        let mut places = self.members.iter_mut();
        let confirmed = places.position(|held| Pin::new(&mut held.confirmation).poll(context).is_ready());
        match confirmed {
            Some(place) => Poll::Ready(self.release(place)),
            None => Poll::Pending,
        }
    }

    /// The requests of the member at a place, which wait no longer.
    fn release(&mut self, place: usize) -> Vec<Request> {
        let requests = self.members.remove(place).map_or_else(Vec::new, |held| held.requests);
        requests.iter().for_each(|request| self.load.subtract(request));
        requests
    }
}
