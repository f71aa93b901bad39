//! Rooms that come and go while no event is taken.

use super::queue::OBSOLETE_KEPT;
use super::*;
use crate::topic::{Privacy, Space};

const ALL: Bounds = Bounds { frames: u32::MAX, bytes: usize::MAX };

fn room(topic: &str) -> Arc<Room> {
    let (space, privacy) = (Space::Phoenix, Privacy::Public);
    let key = RoomKey { tenant: "t".into(), space, privacy, topic: topic.into() };
    Arc::new(Room::new(key.into(), Some(1)))
}

fn observer() -> Observer {
    let interests = Interests { rooms: true, presence: true, ..Interests::default() };
    Observer::new(interests, Bounds { frames: 1, bytes: 1 }, 0)
}

#[test]
fn rooms_that_open_and_close_before_they_are_taken_do_not_accumulate() {
    let observer = observer();
    let mut wakers = Wakers::collect();
    let lasting: Vec<_> = (0..10).map(|number| room(&number.to_string())).collect();
    for (number, kept) in lasting.iter().enumerate() {
        observer.room_opened(kept, &mut wakers);
        for brief in 0..1_000 {
            let brief = room(&format!("{number}-{brief}"));
            observer.room_opened(&brief, &mut wakers);
            observer.presence_changed(&brief, &mut wakers);
            observer.room_closed(&brief, None, &mut wakers);
        }
    }
    assert!(observer.queue.lock().len() <= 10 + 2 * (OBSOLETE_KEPT + 1));
    let Poll::Ready(taken) = observer.poll(ALL, Waker::noop()) else { panic!("ten rooms are open") };
    let opened = taken.iter().map(|event| match event {
        RoomEvent::RoomOpened(room) => room.topic(),
        other => panic!("unexpected {other:?}"),
    });
    assert!(opened.eq(lasting.iter().map(|room| room.topic())));
    assert_eq!(observer.queue.lock().obsolete(), 0);
}

#[test]
fn an_observer_that_lists_a_room_receives_its_end() {
    let observer = observer();
    let mut wakers = Wakers::collect();
    let (open, closed) = (room("open"), room("closed"));
    observer.room_opened(&open, &mut wakers);
    observer.room_opened(&closed, &mut wakers);
    observer.room_closed(&closed, None, &mut wakers);
    let mut rooms = vec![Arc::clone(&open), closed];
    observer.take_notice(&mut rooms);
    let listed: Vec<_> = rooms.iter().map(|room| room.topic()).collect();
    assert_eq!(listed, ["open"], "the other has closed");
    observer.room_closed(&open, None, &mut wakers);
    let Poll::Ready(taken) = observer.poll(ALL, Waker::noop()) else { panic!("the room has closed") };
    assert!(matches!(&taken[..], [RoomEvent::RoomClosed { key, .. }] if *key.topic == *"open"), "{taken:?}");
    assert_eq!(observer.queue.lock().obsolete(), 0);
}
