//! What the tasks of one worker do next, when they have more to do than one time slice.
//!
//! A runtime polls its tasks in the order in which they were woken, and looks for new input when it is through with
//! them, so a tenant with thousands of busy connections would keep all others waiting. Here a task that has input asks
//! before it begins ([`TimeSlice`]), and the members of a large fan-out are woken a few at a time. Once a time slice is
//! used up, both wait in a queue in which tenants and client addresses take turns by the time that they use. After each
//! slice the runtime looks for new input.
//!
//! Within a line the order is that of the runtime: what has come in is read before the frames that it causes are
//! written, so frames still go out in one write.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::bounds::Bounds;
use crate::fair_queue::{FairQueue, Quantum};
use crate::party::Party;

/// Microseconds of work between two looks for new input, if there is so much to do.
const TIME_SLICE: u32 = 250;

/// Microseconds that writing to one connection is taken to need, and bytes for which another one is. It is not
/// measured, because that would cost each delivery two readings of the clock.
const WRITE: u32 = 2;
const BYTES_PER_MICROSECOND: u64 = 4 * 1024;

/// Connections that a fan-out wakes at once. More of them wait for their time slices.
const WOKEN_AT_ONCE: usize = 64;

/// In microseconds.
const QUANTUM: Quantum = Quantum { per_turn: TIME_SLICE, per_item: WRITE };

/// What waits for a time slice.
#[derive(Debug)]
enum Work {
    /// A connection is woken, to write.
    Write(Waker),
    /// A connection is woken, to write more.
    WriteMore(Arc<Waiter>),
    /// A task may begin.
    Begin(Arc<Waiter>),
}

/// A task that waits.
#[derive(Debug)]
struct Waiter {
    is_granted: AtomicBool,
    waker: Waker,
}

impl Waiter {
    fn new(waker: &Waker) -> Arc<Self> {
        Arc::new(Self { is_granted: AtomicBool::new(false), waker: waker.clone() })
    }

    fn is_granted(&self) -> bool {
        self.is_granted.load(Ordering::Relaxed)
    }

    /// Returns the waker of the task, unless it has ended.
    fn grant(self: Arc<Self>) -> Option<Waker> {
        self.is_granted.store(true, Ordering::Relaxed);
        (Arc::strong_count(&self) > 1).then(|| self.waker.clone())
    }
}

/// The permission of one task to work, asked for each time that it has something to do.
#[derive(Debug)]
pub struct TimeSlice {
    party: Party,
    waiter: Option<Arc<Waiter>>,
    /// Since it has more to write, if it waits for that.
    writer: Option<Arc<Waiter>>,
}

/// When a task has begun to work.
#[derive(Debug)]
#[must_use = "the time is to be charged"]
pub struct Begun(Option<Instant>);

impl Begun {
    /// Whether a whole time slice has passed since. Never on a thread that is no worker.
    pub fn is_used_up(&self) -> bool {
        self.end().is_some_and(|end| Instant::now() >= end)
    }

    /// When a whole time slice has passed. `None` on a thread that is no worker.
    pub fn end(&self) -> Option<Instant> {
        self.0.map(|at| at + Duration::from_micros(u64::from(TIME_SLICE)))
    }
}

impl TimeSlice {
    /// For a task whose time is charged to `party`.
    pub fn of(party: Party) -> Self {
        Self { party, waiter: None, writer: None }
    }

    /// The time of the task is charged to `party` from now on, as are its waits that begin later.
    pub fn charge_to(&mut self, party: Party) {
        self.party = party;
    }

    /// Ready if the task may work now, until [`end`](Self::end). Otherwise it is woken when it may; other wakes do not
    /// change its turn. At once ready on a thread that is no worker.
    pub fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Begun> {
        SCHEDULE.with(|schedule| {
            if !schedule.is_on.get() {
                self.waiter = None;
                return Poll::Ready(Begun(None));
            }
            match &self.waiter {
                Some(waiter) if !waiter.is_granted() => return Poll::Pending,
                Some(_) => self.waiter = None,
                None if schedule.is_within_time_slice() => {}
                None => {
                    let waiter = Waiter::new(cx.waker());
                    self.waiter = Some(Arc::clone(&waiter));
                    schedule.add(self.party, std::iter::once(Work::Begin(waiter)));
                    return Poll::Pending;
                }
            }
            Poll::Ready(Begun(Some(Instant::now())))
        })
    }

    /// Has the task woken when it is its turn, to write more; once, however often it is called before. `false` on a thread
    /// that is no worker.
    pub fn wake_in_turn(&mut self, waker: &Waker) -> bool {
        SCHEDULE.with(|schedule| {
            let waits = self.writer.as_ref().is_some_and(|writer| !writer.is_granted());
            if schedule.is_on.get() && !waits {
                let writer = Waiter::new(waker);
                self.writer = Some(Arc::clone(&writer));
                schedule.add(self.party, std::iter::once(Work::WriteMore(writer)));
            }
            schedule.is_on.get()
        })
    }

    /// Waits until the task may work, until [`end`](Self::end).
    pub async fn begin(&mut self) -> Begun {
        poll_fn(|cx| self.poll_begin(cx)).await
    }

    /// Like [`end`](Self::end), for a task that has begun another one: what that needs at first is charged too. So no more
    /// are begun than can be served.
    pub fn end_with_another(&self, begun: Begun) {
        self.end(begun);
        SCHEDULE.with(|schedule| schedule.charge(self.party, schedule.expected.get().get()));
    }

    /// The task has written `bytes` beside what it did between the other calls.
    pub fn wrote(&self, bytes: u64) {
        let taken = u32::try_from(bytes / BYTES_PER_MICROSECOND).unwrap_or(u32::MAX);
        if taken > 0 {
            SCHEDULE.with(|schedule| schedule.charge_write(self.party, taken));
        }
    }

    /// The task has worked since `begun`.
    pub fn end(&self, begun: Begun) {
        if let Begun(Some(at)) = begun {
            let taken = u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX);
            SCHEDULE.with(|schedule| schedule.charge_work(self.party, taken));
        }
    }
}

thread_local! {
    static SCHEDULE: Schedule = const { Schedule::new() };
}

/// A moving average in microseconds, in which the last value counts an eighth.
#[derive(Debug, Clone, Copy)]
struct Average {
    /// In eighths, so that it reaches small values exactly.
    eighths: u32,
}

impl Average {
    const fn of(value: u32) -> Self {
        Self { eighths: value.saturating_mul(8) }
    }

    const fn get(self) -> u32 {
        self.eighths / 8
    }

    const fn with(self, last: u32) -> Self {
        Self { eighths: (self.eighths - self.eighths / 8).saturating_add(last) }
    }
}

/// The schedule of this thread.
struct Schedule {
    /// Whether the thread is a worker: on others nothing would grant a time slice.
    is_on: Cell<bool>,
    /// Microseconds of the current slice that are used.
    used: Cell<u32>,
    /// What a task that has begun, and a write, have needed of late.
    expected: Cell<Average>,
    expected_write: Cell<Average>,
    waiting: Cell<usize>,
    queue: RefCell<Option<FairQueue<Party, Work>>>,
    /// Wakes the task of the worker when something begins to wait.
    worker: Cell<Option<Waker>>,
}

impl Schedule {
    const fn new() -> Self {
        Self {
            is_on: Cell::new(false),
            used: Cell::new(0),
            expected: Cell::new(Average::of(0)),
            expected_write: Cell::new(Average::of(WRITE)),
            waiting: Cell::new(0),
            queue: RefCell::new(None),
            worker: Cell::new(None),
        }
    }

    fn is_within_time_slice(&self) -> bool {
        self.waiting.get() == 0 && self.used.get() < TIME_SLICE
    }

    fn add(&self, party: Party, work: impl Iterator<Item = Work>) {
        let mut queue = self.queue.borrow_mut();
        // What waits is bounded otherwise: a task waits once, and its waker is in one list.
        let queue = queue.get_or_insert_with(|| FairQueue::new(Bounds { frames: 0, bytes: 0 }, QUANTUM));
        queue.insert_all(&party, work);
        self.waiting.set(queue.len());
        if let Some(worker) = self.worker.take() {
            worker.wake();
        }
    }

    fn charge_work(&self, party: Party, taken: u32) {
        self.expected.set(self.expected.get().with(taken));
        self.charge(party, taken);
    }

    fn charge_write(&self, party: Party, taken: u32) {
        self.expected_write.set(self.expected_write.get().with(taken));
        self.charge(party, taken);
    }

    fn charge(&self, party: Party, taken: u32) {
        self.used.set(self.used.get().saturating_add(taken));
        // Less than a turn of a worker that has time left is charged to no party.
        if (self.waiting.get() > 0 || taken > TIME_SLICE)
            && let Some(queue) = &mut *self.queue.borrow_mut()
        {
            queue.charge(&party, taken as usize);
        }
    }

    /// Takes what is granted in the next slice.
    fn grant(&self, woken: &mut Vec<Waker>) {
        let mut planned = 0;
        self.used.set(0);
        let write = self.expected_write.get().get();
        // Writes that need no more than that are not reported.
        self.expected_write.set(Average::of((write - write / 4).max(WRITE)));
        let mut queue = self.queue.borrow_mut();
        let Some(queue) = &mut *queue else { return };
        while planned < TIME_SLICE
            && let Some(work) = queue.pop()
        {
            let (waker, needs) = match work {
                Work::Write(waker) => (Some(waker), write),
                Work::WriteMore(writer) => (writer.grant(), write),
                Work::Begin(waiter) => (waiter.grant(), self.expected.get().get().max(1)),
            };
            if let Some(waker) = waker {
                planned = planned.saturating_add(needs);
                woken.push(waker);
            }
        }
        self.waiting.set(queue.len());
    }
}

/// Wakes connections of this thread, so that they write, the time for which is charged to `party`.
pub(super) fn wake(party: Party, wakers: impl ExactSizeIterator<Item = Waker>) {
    SCHEDULE.with(|schedule| {
        let number = wakers.len();
        if schedule.is_on.get() && (number > WOKEN_AT_ONCE || !schedule.is_within_time_slice()) {
            schedule.add(party, wakers.map(Work::Write));
        } else {
            schedule.used.set(schedule.used.get().saturating_add(number as u32 * WRITE));
            wakers.for_each(Waker::wake);
        }
    });
}

/// Makes the calling thread one whose tasks wait for their time slices.
pub(super) fn switch_on() {
    SCHEDULE.with(|schedule| schedule.is_on.set(true));
}

/// From now on the tasks of this thread do not wait; those that do are woken.
pub(super) fn switch_off() {
    SCHEDULE.with(|schedule| {
        schedule.is_on.set(false);
        let mut woken = Vec::new();
        while schedule.waiting.get() > 0 {
            schedule.grant(&mut woken);
        }
        woken.into_iter().for_each(Waker::wake);
    });
}

/// The runtime is about to look for new input, and nothing waits.
pub(super) fn note_idle() {
    SCHEDULE.with(|schedule| schedule.used.set(0));
}

/// Grants the next time slice, using the memory of `woken`. Returns whether more waits.
pub(super) fn grant(woken: &mut Vec<Waker>) -> bool {
    SCHEDULE.with(|schedule| {
        schedule.grant(woken);
        woken.drain(..).for_each(Waker::wake);
        schedule.waiting.get() > 0
    })
}

/// Whether something waits; if not, `waker` is woken when something does.
pub(super) fn has_waiting(waker: &Waker) -> bool {
    SCHEDULE.with(|schedule| {
        let has_waiting = schedule.waiting.get() > 0;
        if !has_waiting {
            schedule.worker.set(Some(waker.clone()));
        }
        has_waiting
    })
}

#[cfg(test)]
mod tests;
