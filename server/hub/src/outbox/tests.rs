//! Bounds, replacement, and what the connection finds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use super::*;
use crate::burst::Burst;
use crate::memory::{MemoryBudget, MemoryKind};

fn frame(len: usize) -> Frame {
    Frame::new(vec![0; len], 0)
}

fn taken(outbox: &Outbox) -> usize {
    let mut burst = Burst::default();
    while !matches!(outbox.take(&mut burst, Waker::noop()), NextAction::Write) {}
    burst.len()
}

#[test]
fn a_frame_that_many_outboxes_share_is_charged_once() {
    let memory = TenantMemory::unlimited();
    let bounds = Bounds { frames: 10, bytes: 1_000_000 };
    let outboxes: Vec<_> = (0..100).map(|_| Outbox::new(bounds, Arc::clone(&memory))).collect();
    let shared = frame(100_000);
    assert!(outboxes.iter().all(|outbox| outbox.offer(&shared) == Offer::Queued));
    drop(shared);
    let charged = memory.used(MemoryKind::Sending);
    assert!((100_000..101_000).contains(&charged), "{charged}");
    outboxes[1..].iter().for_each(|outbox| outbox.close());
    assert_eq!(memory.used(MemoryKind::Sending), charged);
    outboxes[0].close();
    assert_eq!(memory.used(MemoryKind::Sending), 0);
}

#[test]
fn without_memory_a_backlog_grows_no_longer_and_small_frames_pass() {
    let memory = TenantMemory::new(&MemoryBudget::new(266_666, 50));
    let bounds = Bounds { frames: 10_000, bytes: 1_000_000 };
    let outbox = || Outbox::new(bounds, Arc::clone(&memory));
    let (slow, other) = (outbox(), outbox());
    let queued = (0..10).take_while(|_| slow.offer(&frame(30_000)) == Offer::Queued).count();
    assert_eq!(queued, 3, "half of what is not reserved for connections");
    assert_eq!(other.offer(&frame(30_000)), Offer::Full);
    assert_eq!(other.offer(&frame(10_000)), Offer::Queued);
    assert!(!slow.is_backlogged(), "a reply has memory");
    slow.reply(&frame(30_000));
    assert!(slow.is_backlogged(), "until it has none");
    assert!(!other.is_backlogged());
    slow.close();
    assert_eq!(other.offer(&frame(30_000)), Offer::Queued);
}

#[test]
fn small_frames_are_charged_while_the_socket_accepts_none() {
    let memory = TenantMemory::new(&MemoryBudget::new(133_333, 50));
    let bounds = Bounds { frames: 10_000, bytes: 1_000_000 };
    let outbox = || Outbox::new(bounds, Arc::clone(&memory));
    let (first, second) = (outbox(), outbox());
    let mut burst = Burst::default();
    assert_eq!(first.offer(&frame(10_000)), Offer::Queued);
    assert_eq!(first.take(&mut burst, Waker::noop()), NextAction::Write);
    assert_eq!(first.offer(&frame(5_000)), Offer::Queued);
    assert_eq!(memory.total(), 0);
    assert!(first.charge_blocked(&burst));
    assert!((15_000..15_500).contains(&memory.total()), "what is taken and what is queued");
    assert_eq!(first.offer(&frame(1_000)), Offer::Queued);
    assert!((16_000..16_600).contains(&memory.total()), "what is queued meanwhile");
    let filled = std::iter::repeat_with(|| frame(10_000)).take_while(|frame| frame.try_charge(&memory));
    let _filled: Vec<_> = filled.take(10).collect();
    assert_eq!(first.offer(&frame(10_000)), Offer::Full);
    assert_eq!(second.offer(&frame(10_000)), Offer::Queued, "the socket of this one accepts bytes");
    assert!(!second.charge_blocked(&Burst::default()));
    assert_eq!(memory.budget().refused(MemoryKind::Sending), 2);
    let other = TenantMemory::new(memory.budget());
    let _all = other.charge(MemoryKind::Held, 100_000 - memory.total());
    assert!(!other.has_room_for(1), "all but the part for connections is used up");
    let third = Outbox::new(bounds, TenantMemory::new(memory.budget()));
    assert_eq!(third.offer(&frame(1_000)), Offer::Queued);
    assert!(!third.is_backlogged());
    assert!(third.charge_blocked(&Burst::default()), "its tenant has little");
    third.memory().budget().set(70_000, 50);
    assert!(third.is_backlogged(), "but it causes no more when what is beyond the limit is used up");
}

#[test]
fn a_long_queue_is_charged_with_the_positions_of_replaceable_entries() {
    let memory = TenantMemory::unlimited();
    let outbox = Outbox::new(Bounds { frames: 100_000, bytes: 10_000_000 }, Arc::clone(&memory));
    let (cursor, entries) = (frame(100), 20_000);
    for id in 0..entries {
        assert_eq!(outbox.offer_replaceable(ReplaceKey { scope: 1, id }, &cursor), Offer::Queued);
    }
    // A handle, a key and a position.
    let least = entries as usize * (8 + 16 + 8);
    let charged = memory.used(MemoryKind::Sending);
    assert!((least..2 * least).contains(&charged), "{charged}");
    outbox.close();
    drop(cursor);
    assert_eq!(memory.used(MemoryKind::Sending), 0, "a closed outbox has nothing");
}

#[test]
fn the_frames_of_one_message_are_charged_together() {
    let memory = TenantMemory::new(&MemoryBudget::new(0, 75));
    let outbox = Outbox::new(Bounds { frames: 100, bytes: 10_000_000 }, Arc::clone(&memory));
    let message: Vec<_> = (0..10).map(|_| frame(15_000)).collect();
    let mut wakers = Wakers::collect();
    assert_eq!(outbox.offer_message_deferred(&message, &mut wakers), Offer::Full);
    assert_eq!(outbox.offer_message_deferred(&message[..1], &mut wakers), Offer::Queued);
}

#[test]
fn a_long_queue_of_frames_that_are_charged_elsewhere_is_charged() {
    let memory = TenantMemory::unlimited();
    let outbox = Outbox::new(Bounds { frames: 10_000, bytes: 1_000_000 }, Arc::clone(&memory));
    let shared = frame(100);
    shared.charge(&memory);
    let before = memory.total();
    (0..5_000).for_each(|_| assert_eq!(outbox.offer(&shared), Offer::Queued));
    assert!(memory.total() - before >= 4_096 * 8);
    let mut burst = Burst::default();
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::Write);
    outbox.written(burst.len() as u32, burst.iter().map(Frame::len).sum());
    burst = Burst::default();
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::Idle);
    assert_eq!(memory.total(), before);
}

/// An outbox of a tenant whose memory is not limited.
fn outbox(bounds: Bounds) -> Outbox {
    Outbox::new(bounds, TenantMemory::unlimited())
}

#[test]
fn one_frame_always_fits_an_empty_outbox() {
    let outbox = outbox(Bounds { bytes: 10, frames: 1 });
    assert_eq!(outbox.offer(&frame(1_000)), Offer::Queued);
    assert_eq!(outbox.offer(&frame(1)), Offer::Full);
}

#[test]
fn frames_count_until_the_socket_has_them() {
    let outbox = outbox(Bounds { frames: 2, bytes: 100 });
    outbox.offer(&frame(10));
    outbox.offer(&frame(10));
    assert_eq!(taken(&outbox), 2);
    assert_eq!(outbox.offer(&frame(10)), Offer::Full, "taken, but not yet written");
    outbox.written(1, 10);
    assert_eq!(outbox.offer(&frame(10)), Offer::Queued);
}

#[test]
fn a_task_that_waits_for_a_slow_reader_is_woken_when_little_is_left_or_it_is_closed() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let outbox = outbox(Bounds { frames: 8, bytes: 1_000 });
    let offer_four = || (0..4).for_each(|_| assert_eq!(outbox.offer(&frame(10)), Offer::Queued));
    offer_four();
    assert!(outbox.poll_caught_up(&mut cx).is_ready(), "half is no backlog");
    for end in [|outbox: &Outbox| outbox.written(2, 20), Outbox::close] {
        offer_four();
        assert!(outbox.poll_caught_up(&mut cx).is_pending());
        taken(&outbox);
        outbox.written(4, 40);
        assert!(!woken.0.load(Ordering::Relaxed), "not at every write");
        end(&outbox);
        assert!(woken.0.swap(false, Ordering::Relaxed));
        assert!(outbox.poll_caught_up(&mut cx).is_ready());
        outbox.offer(&frame(10));
        outbox.offer(&frame(10));
    }
}

#[test]
fn a_client_that_was_waited_for_in_vain_is_known_until_it_has_read_half() {
    let mut cx = Context::from_waker(Waker::noop());
    let outbox = outbox(Bounds { frames: 8, bytes: 1_000 });
    for _ in 0..2 {
        assert_eq!(outbox.backlog(), Backlog::None);
        (0..6).for_each(|_| assert_eq!(outbox.offer(&frame(10)), Offer::Queued));
        assert_eq!(outbox.backlog(), Backlog::New);
        assert!(outbox.poll_caught_up(&mut cx).is_pending());
        outbox.written(1, 10);
        assert_eq!(outbox.backlog(), Backlog::AwaitedInVain);
        outbox.written(1, 10);
        assert_eq!(outbox.backlog(), Backlog::None);
        outbox.written(4, 40);
    }
}

#[test]
fn a_connection_that_missed_something_learns_that_it_has_caught_up() {
    let outbox = outbox(Bounds { frames: 1, bytes: 100 });
    outbox.offer(&frame(10));
    outbox.offer(&frame(10));
    let mut burst = Burst::default();
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::Write);
    burst = Burst::default();
    outbox.written(1, 10);
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::CaughtUp);
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::Idle);
}

#[test]
fn a_disconnect_follows_everything_queued_and_keeps_its_first_reason() {
    let outbox = outbox(Bounds { frames: 4, bytes: 100 });
    outbox.disconnect(Disconnect { code: 1012, reason: "first".into() });
    outbox.disconnect(Disconnect { code: 1013, reason: "second".into() });
    outbox.reply(&frame(1));
    let mut burst = Burst::default();
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::Write);
    burst = Burst::default();
    let first = Disconnect { code: 1012, reason: "first".into() };
    assert_eq!(outbox.take(&mut burst, Waker::noop()), NextAction::Disconnect(first));
}

const KEY: ReplaceKey = ReplaceKey { scope: 1, id: 1 };
const OTHER: ReplaceKey = ReplaceKey { scope: 1, id: 2 };

/// Everything queued, as the lengths of the frames.
fn lengths(outbox: &Outbox) -> Vec<usize> {
    let mut burst = Burst::default();
    let next = outbox.take(&mut burst, Waker::noop());
    let lengths: Vec<usize> = burst.iter().map(Frame::len).collect();
    assert_eq!(next == NextAction::Write, !lengths.is_empty());
    lengths
}

#[test]
fn a_slow_reader_receives_only_the_newest_replaceable_entry_in_its_place() {
    let outbox = outbox(Bounds { frames: 10, bytes: 1_000 });
    outbox.offer(&frame(100));
    for length in 1..=5 {
        assert_eq!(outbox.offer_replaceable(KEY, &frame(length)), Offer::Queued);
        assert_eq!(outbox.offer_replaceable(OTHER, &frame(10 + length)), Offer::Queued);
    }
    outbox.offer(&frame(200));
    outbox.offer_replaceable(KEY, &frame(6));
    assert_eq!(lengths(&outbox), [100, 6, 15, 200]);
    // What the connection has taken is no longer replaced.
    outbox.offer(&frame(300));
    outbox.offer_replaceable(KEY, &frame(7));
    assert_eq!(lengths(&outbox), [300, 7]);
}

#[test]
fn bytes_of_replaced_entries_do_not_count() {
    let outbox = outbox(Bounds { frames: 3, bytes: 100 });
    outbox.offer(&frame(50));
    outbox.offer_replaceable(KEY, &frame(40));
    outbox.offer_replaceable(KEY, &frame(10));
    assert_eq!(outbox.offer(&frame(40)), Offer::Queued);
    assert_eq!(lengths(&outbox), [50, 10, 40]);
    outbox.written(3, 100);
    assert!(!outbox.is_backlogged());
}

#[test]
fn replaceable_entries_are_dropped_first_when_the_outbox_is_full() {
    let outbox = outbox(Bounds { frames: 3, bytes: 100 });
    outbox.offer_replaceable(KEY, &frame(10));
    outbox.offer(&frame(20));
    outbox.offer_replaceable(OTHER, &frame(30));
    assert_eq!(outbox.offer(&frame(40)), Offer::Evicted(1));
    assert_eq!(outbox.offer(&frame(60)), Offer::Full);
    outbox.offer_replaceable(KEY, &frame(5));
    assert_eq!(lengths(&outbox), [20, 40, 5]);
    outbox.written(3, 65);
    assert_eq!(outbox.take(&mut Burst::default(), Waker::noop()), NextAction::CaughtUp);
}

#[test]
fn a_larger_replacement_that_does_not_fit_in_place_is_queued_at_the_end_instead() {
    let outbox = outbox(Bounds { frames: 10, bytes: 100 });
    outbox.offer_replaceable(KEY, &frame(10));
    outbox.offer_replaceable(OTHER, &frame(20));
    outbox.offer(&frame(60));
    assert_eq!(outbox.offer_replaceable(KEY, &frame(40)), Offer::Evicted(2));
    assert_eq!(lengths(&outbox), [60, 40]);
    assert_eq!(outbox.offer_replaceable(OTHER, &frame(1)), Offer::Full, "taken frames count until written");
}

// One new cursor used to evict all others.
#[test]
fn only_the_oldest_entries_are_dropped_for_a_new_one() {
    let outbox = outbox(Bounds { frames: 20, bytes: 1_000 });
    let key = |id| ReplaceKey { scope: 1, id };
    for id in 0..20 {
        outbox.offer_replaceable(key(id), &frame(id as usize + 1));
    }
    assert_eq!(outbox.offer_replaceable(key(20), &frame(21)), Offer::Evicted(2), "an eighth of them at once");
    assert_eq!(outbox.offer_replaceable(key(21), &frame(22)), Offer::Queued);
    // Those that stay are still replaced in their places.
    assert_eq!(outbox.offer_replaceable(key(2), &frame(33)), Offer::Queued);
    let expected: Vec<usize> = [33].into_iter().chain(4..=22).collect();
    assert_eq!(lengths(&outbox), expected);
}

#[test]
fn an_entry_that_grows_beyond_its_place_leaves_no_older_one() {
    let outbox = outbox(Bounds { frames: 10, bytes: 100 });
    outbox.offer_replaceable(OTHER, &frame(30));
    outbox.offer_replaceable(KEY, &frame(50));
    assert_eq!(outbox.offer_replaceable(KEY, &frame(80)), Offer::Evicted(2));
    outbox.offer_replaceable(OTHER, &frame(20));
    assert_eq!(outbox.offer_replaceable(KEY, &frame(81)), Offer::Evicted(2));
    assert_eq!(lengths(&outbox), [81]);
    outbox.written(1, 81);
    assert!(!outbox.is_backlogged());
}

#[test]
fn a_replaceable_entry_alone_in_its_outbox_may_be_of_any_size() {
    let outbox = outbox(Bounds { frames: 1, bytes: 10 });
    assert_eq!(outbox.offer_replaceable(KEY, &frame(100)), Offer::Queued);
    assert_eq!(outbox.offer_replaceable(KEY, &frame(200)), Offer::Queued);
    assert_eq!(outbox.offer_replaceable(OTHER, &frame(1)), Offer::Evicted(1));
    assert_eq!(lengths(&outbox), [1]);
}

#[test]
fn a_closed_outbox_takes_no_replaceable_entries() {
    let outbox = outbox(Bounds { frames: 10, bytes: 100 });
    outbox.offer_replaceable(KEY, &frame(1));
    outbox.close();
    assert_eq!(outbox.offer_replaceable(KEY, &frame(1)), Offer::Full);
    assert!(lengths(&outbox).is_empty());
}
