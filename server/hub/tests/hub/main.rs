//! The hub from outside: rooms, outboxes and presence, with words instead of a protocol.

mod convergence;
mod groups;
mod observers;
mod presence;
mod relay;
mod rooms;

use std::cell::Cell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hub::{
    Audience, Bounds, Bundle, Burst, Delivery, Dialect, Encode, Frame, Group, Hub, HubBuilder, Member,
    Membership, Outbox, Privacy, RoomKey, Space, Turn,
};

pub(crate) const PLAIN: Dialect = Dialect::new(0);
pub(crate) const LOUD: Dialect = Dialect::new(1);

/// Says a word: as it is in one dialect, in capitals in the other, with a full stop to other nodes.
pub(crate) struct Say<'a> {
    pub(crate) word: &'a str,
    pub(crate) encoded: Cell<usize>,
}

impl<'a> Say<'a> {
    pub(crate) fn new(word: &'a str) -> Self {
        Self { word, encoded: Cell::new(0) }
    }
}

impl Encode for Say<'_> {
    fn encode(&self, _topic: &str, dialect: Dialect) -> Option<Frame> {
        self.encoded.set(self.encoded.get() + 1);
        match dialect {
            PLAIN => Some(frame(self.word)),
            LOUD => Some(frame(&self.word.to_uppercase())),
            Dialect::RELAY => Some(frame(&format!("{}.", self.word))),
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

/// Says one word to the room.
pub(crate) fn say(member: &Membership, word: &Say<'_>, audience: Audience) -> Delivery {
    let mut bundle = Bundle::default();
    member.gather(word, audience, &mut bundle);
    member.publish(bundle, audience)
}

/// A connection that reads when told to.
pub(crate) struct Reader {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) dialect: Dialect,
}

impl Reader {
    pub(crate) fn new(dialect: Dialect, frames: u32) -> Self {
        Self { outbox: Arc::new(Outbox::new(Bounds { frames, bytes: 1_000_000 })), dialect }
    }

    pub(crate) fn member(&self) -> Member {
        Member { outbox: Arc::clone(&self.outbox), dialect: self.dialect, group: Group::DEFAULT }
    }

    /// Everything queued, and whether it had missed something and has caught up now.
    pub(crate) fn read(&self) -> (Vec<String>, bool) {
        let (mut words, mut caught_up) = (Vec::new(), false);
        let mut burst = Burst::default();
        loop {
            match self.outbox.take(&mut burst, Waker::noop()) {
                Turn::Write => {
                    while let Some(frame) = burst.pop() {
                        words.push(String::from_utf8(frame.bytes().to_vec()).expect("words are text"));
                        self.outbox.written(1, frame.len());
                    }
                }
                Turn::CaughtUp => caught_up = true,
                Turn::Notified => {}
                Turn::Disconnect(_) | Turn::Idle => return (words, caught_up),
            }
        }
    }

    pub(crate) fn words(&self) -> Vec<String> {
        self.read().0
    }
}
