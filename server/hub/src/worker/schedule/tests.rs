//! Each test has a thread of its own, and so a schedule of its own.

use std::sync::Mutex;
use std::task::Wake;

use super::*;

/// The tasks that were woken, by number.
type Woken = Arc<Mutex<Vec<usize>>>;

struct Task(usize, Woken);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.1.lock().expect("no test panics with it").push(self.0);
    }
}

fn waker(number: usize, woken: &Woken) -> Waker {
    Arc::new(Task(number, Arc::clone(woken))).into()
}

fn take(woken: &Woken) -> Vec<usize> {
    std::mem::take(&mut woken.lock().expect("no test panics with it"))
}

/// Uses up the time slice, for `party`.
fn use_up(party: Party) {
    SCHEDULE.with(|schedule| schedule.charge_work(party, TIME_SLICE));
}

/// Asks for a slice, which is not granted at once.
fn wait(slice: &mut TimeSlice, number: usize, woken: &Woken) {
    assert!(slice.poll_begin(&mut Context::from_waker(&waker(number, woken))).is_pending());
}

#[test]
fn tasks_wait_once_a_slice_is_used_up_and_begin_when_they_are_granted_one() {
    switch_on();
    let (woken, party) = (Woken::default(), Party::new_tenant());
    let mut slice = TimeSlice::of(party);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(begun) = slice.poll_begin(&mut cx) else { panic!("nothing has used time") };
    slice.end(begun);
    use_up(party);
    wait(&mut slice, 1, &woken);
    wait(&mut slice, 1, &woken);
    assert!(!grant(&mut Vec::new()), "it waited once");
    assert_eq!(take(&woken), [1]);
    assert!(slice.poll_begin(&mut cx).is_ready());
    assert!(TimeSlice::of(party).poll_begin(&mut cx).is_ready(), "within the new slice");
}

#[test]
fn parties_take_turns_by_the_time_that_they_use() {
    switch_on();
    let (woken, busy, quiet) = (Woken::default(), Party::new_tenant(), Party::new_tenant());
    use_up(busy);
    let mut slices: Vec<_> = (0..1_000).map(|_| TimeSlice::of(busy)).collect();
    for (number, slice) in slices.iter_mut().enumerate() {
        wait(slice, number, &woken);
    }
    // Each uses a whole time slice, and is expected to.
    for _ in 0..40 {
        assert!(grant(&mut Vec::new()));
        use_up(busy);
    }
    assert_eq!(take(&woken)[..3], [0, 1, 2], "in order");
    let mut late = TimeSlice::of(quiet);
    wait(&mut late, 5_000, &woken);
    let granted = (1..).find(|_| {
        grant(&mut Vec::new());
        use_up(busy);
        take(&woken).contains(&5_000)
    });
    assert!(granted <= Some(2), "after so many time slices: {granted:?}");
}

// Eight microseconds were expected of each at least, so of such tasks few were granted at once.
#[test]
fn a_time_slice_is_granted_to_as_many_small_tasks_as_it_has_time_for() {
    switch_on();
    let (woken, busy) = (Woken::default(), Party::new_tenant());
    // A large one, long ago.
    SCHEDULE.with(|schedule| schedule.charge_work(busy, 10_000));
    (0..100).for_each(|_| SCHEDULE.with(|schedule| schedule.charge_work(busy, 1)));
    let mut slices: Vec<_> = (0..1_000).map(|_| TimeSlice::of(busy)).collect();
    for (number, slice) in slices.iter_mut().enumerate() {
        wait(slice, number, &woken);
    }
    assert!(grant(&mut Vec::new()));
    assert_eq!(take(&woken).len(), 250, "of a microsecond each");
}

#[test]
fn a_large_fan_out_is_woken_in_parts_and_a_small_one_at_once() {
    switch_on();
    let (woken, party) = (Woken::default(), Party::new_tenant());
    let wakers = |number| (0..number).map(|number| waker(number, &woken)).collect::<Vec<_>>().into_iter();
    wake(party, wakers(10));
    assert_eq!(take(&woken).len(), 10);
    wake(party, wakers(1_000));
    assert_eq!(take(&woken).len(), 0);
    let mut parts = Vec::new();
    while grant(&mut Vec::new()) {
        parts.extend([take(&woken)]);
    }
    parts.push(take(&woken));
    assert!(parts.iter().all(|part| part.len() <= (TIME_SLICE / WRITE) as usize), "{parts:?}");
    assert_eq!(parts.concat(), (0..1_000).collect::<Vec<_>>(), "in order");
}

#[test]
fn what_waits_when_a_worker_ends_is_woken_and_ended_tasks_are_not() {
    switch_on();
    let (woken, party) = (Woken::default(), Party::new_tenant());
    use_up(party);
    let [mut ended, mut alive] = [TimeSlice::of(party), TimeSlice::of(party)];
    wait(&mut ended, 1, &woken);
    wait(&mut alive, 2, &woken);
    drop(ended);
    switch_off();
    assert_eq!(take(&woken), [2]);
    assert!(alive.poll_begin(&mut Context::from_waker(Waker::noop())).is_ready());
    use_up(party);
    assert!(
        alive.poll_begin(&mut Context::from_waker(Waker::noop())).is_ready(),
        "no worker would grant one"
    );
}

#[test]
fn a_task_that_has_more_to_write_waits_once() {
    switch_on();
    let (woken, party) = (Woken::default(), Party::new_tenant());
    let mut slice = TimeSlice::of(party);
    for _ in 0..3 {
        assert!(slice.wake_in_turn(&waker(1, &woken)));
    }
    assert!(!grant(&mut Vec::new()));
    assert_eq!(take(&woken), [1]);
    assert!(slice.wake_in_turn(&waker(1, &woken)));
    drop(slice);
    assert!(!grant(&mut Vec::new()));
    assert_eq!(take(&woken).len(), 0, "the task has ended");
}
