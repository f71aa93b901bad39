//! What the hub does for its rooms.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Hub;
use crate::room::{Outlets, Published, Room};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

impl Outlets for Hub {
    fn coalesce(&self) -> Duration {
        Duration::from_nanos(self.coalesce_nanos.load(Ordering::Relaxed))
    }

    fn schedule(&self, room: &Arc<Room>, due_at: Instant) {
        let waker = self.due.lock().add(room, due_at);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wants_frames(&self) -> bool {
        self.observers.iter().any(|observer| observer.wants_frames())
    }

    fn published(&self, key: &Arc<RoomKey>, published: &Published<'_>, wakers: &mut Wakers) -> u32 {
        let mut unrelayed = 0;
        for observer in &self.observers {
            let dropped = observer.published(key, published, wakers);
            if self.relay.as_ref().is_some_and(|relay| Arc::ptr_eq(&relay.observer, observer)) {
                unrelayed = dropped;
            }
        }
        unrelayed
    }

    fn member_joined(&self, key: &Arc<RoomKey>, wakers: &mut Wakers) {
        self.observers.iter().for_each(|observer| observer.member_joined(key, wakers));
    }

    fn member_left(&self, key: &Arc<RoomKey>, wakers: &mut Wakers) {
        self.observers.iter().for_each(|observer| observer.member_left(key, wakers));
    }

    fn presence_changed(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        self.observers.iter().for_each(|observer| observer.presence_changed(room, wakers));
    }
}
