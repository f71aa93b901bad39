//! The public surface of the hub: rooms, outboxes, presence, observers, with texts instead of a protocol.

mod convergence;
mod groups;
mod history;
mod observers;
mod presence;
mod relay;
mod replaying;
mod rooms;

use std::cell::Cell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hub::{
    Audience, Bounds, Bundle, Burst, Delivery, Dialect, Encode, Frame, Group, Hub, HubBuilder, Member,
    Membership, NextAction, Outbox, Privacy, Receives, RoomKey, Space,
};

pub(crate) const PLAIN: Dialect = Dialect::new(0);
pub(crate) const LOUD: Dialect = Dialect::new(1);

/// An event encoded as its text: unchanged in one dialect, in capitals in the other, with a full stop for the
/// relay.
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    pub(crate) encoded: Cell<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, encoded: Cell::new(0) }
    }
}

impl Encode for Text<'_> {
    fn encode(&self, _topic: &str, dialect: Dialect) -> Option<Frame> {
        self.encoded.set(self.encoded.get() + 1);
        match dialect {
            PLAIN => Some(frame(self.text)),
            LOUD => Some(frame(&self.text.to_uppercase())),
            Dialect::RELAY => Some(frame(&format!("{}.", self.text))),
            _ => None,
        }
    }
}

pub(crate) fn frame(text: &str) -> Frame {
    Frame::new(text.as_bytes().to_vec(), 0)
}

pub(crate) fn hub() -> Arc<Hub> {
    HubBuilder::new(Duration::ZERO).build()
}

pub(crate) fn key(topic: &str) -> RoomKey {
    RoomKey { tenant: "t".into(), space: Space::Phoenix, privacy: Privacy::Public, topic: topic.into() }
}

/// Publishes one event to the room.
pub(crate) fn publish(member: &Membership, event: &Text<'_>, audience: Audience) -> Delivery {
    let mut bundle = Bundle::default();
    member.gather(event, audience, &mut bundle);
    member.publish(bundle, audience)
}

/// A connection that reads when the test calls it.
pub(crate) struct Reader {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) dialect: Dialect,
}

impl Reader {
    pub(crate) fn new(dialect: Dialect, frames: u32) -> Self {
        Self {
            outbox: Arc::new(Outbox::new(
                Bounds { frames, bytes: 1_000_000 },
                hub::TenantMemory::unlimited(),
            )),
            dialect,
        }
    }

    pub(crate) fn member(&self) -> Member {
        Member {
            outbox: Arc::clone(&self.outbox),
            dialect: self.dialect,
            group: Group::DEFAULT,
            receives: Receives::Everything,
        }
    }

    /// Reads everything queued. Also returns whether the connection has caught up after missing something.
    pub(crate) fn read(&self) -> (Vec<String>, bool) {
        let (mut texts, mut caught_up) = (Vec::new(), false);
        let mut burst = Burst::default();
        loop {
            match self.outbox.take(&mut burst, Waker::noop()) {
                NextAction::Write => {
                    while let Some(frame) = burst.pop() {
                        texts.push(String::from_utf8(frame.bytes().to_vec()).expect("frames are text"));
                        self.outbox.written(1, frame.len());
                    }
                }
                NextAction::CaughtUp => caught_up = true,
                NextAction::Notified => {}
                NextAction::Disconnect(_) | NextAction::Idle => return (texts, caught_up),
            }
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.read().0
    }
}
