//! Whether the changes of tables of a tenant are wanted, and read. It lasts while the database of the tenant is replaced, because its
//! settings have changed.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::LogState;
use super::change_progress::ChangeProgress;
use super::change_sink::ChangeSink;
use crate::tenants::{ChangesStatus, DurableStatus};

/// How long changes are read after the last demand for them has ended, as upstream does.
pub const CHANGES_IDLE: Duration = Duration::from_secs(600);

/// The demand for the changes of a tenant, and whether these are read.
#[derive(Default)]
pub(super) struct ChangeFollowing {
    demands: watch::Sender<Demands>,
    /// Whether the changes are read.
    pub(super) state: watch::Sender<LogState>,
    /// Bytes of the log that are not handled yet.
    lag: AtomicU64,
    /// There may be a publication with tables by now.
    pub(super) publication_changed: Notify,
    /// Up to where they are handled.
    pub(super) progress: Arc<ChangeProgress>,
    /// What is known of the slot that keeps them, if there is to be one.
    durable: Mutex<Option<DurableStatus>>,
    /// Whether subscribers were notified that changes are not read, since a session has read the last time.
    was_unavailable: AtomicBool,
}

#[derive(Default)]
struct Demands {
    count: usize,
    /// There from the first demand until some time after the last one.
    sink: Option<Arc<dyn ChangeSink>>,
    /// Whether a session has read for them.
    were_read: bool,
}

impl ChangeFollowing {
    /// One more demand. Another sink than before replaces it: its reading ends, and continues for the new one.
    pub(super) fn follow(self: &Arc<Self>, sink: Arc<dyn ChangeSink>) -> ChangeDemand {
        self.demands.send_modify(|demands| {
            demands.count += 1;
            demands.sink = Some(sink);
        });
        self.publication_changed.notify_one();
        ChangeDemand(Arc::clone(self))
    }

    /// What operators see; `None` when nothing is to be read.
    pub(super) fn status(&self) -> Option<ChangesStatus> {
        let demands = self.demands.borrow();
        let (sink, subscriptions) = (demands.sink.clone()?, demands.count);
        drop(demands);
        let (log, lag, durable) = (self.state.borrow().clone(), self.lag(), self.durable());
        Some(ChangesStatus { log, lag, subscriptions, tables: sink.tables(), durable })
    }

    /// Whether there is demand.
    pub(super) fn is_followed(&self) -> bool {
        self.demands.borrow().count > 0
    }

    /// Whether there has been no demand for long.
    pub(super) fn is_unused(&self) -> bool {
        self.demands.borrow().sink.is_none()
    }

    /// Waits for a demand. Returns the sink.
    pub(super) async fn until_followed(&self) -> Arc<dyn ChangeSink> {
        let mut demands = self.demands.subscribe();
        loop {
            let sink = demands.borrow_and_update().sink.clone();
            if let Some(sink) = sink {
                return sink;
            }
            if demands.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// Waits until changes are not read for `sink` any more: it was replaced, or there has been no demand for `idle`.
    pub(super) async fn until_left(&self, sink: &Arc<dyn ChangeSink>, idle: Duration) {
        let mut demands = self.demands.subscribe();
        let is_other =
            |demands: &Demands| demands.sink.as_ref().is_none_or(|other| !Arc::ptr_eq(other, sink));
        while !is_other(&demands.borrow_and_update()) {
            let is_unused = demands.borrow().count == 0;
            tokio::select! {
                _ = demands.changed() => {}
                () = sleep(idle), if is_unused => self.forget_unused(),
            }
        }
    }

    /// The next demand begins anew.
    fn forget_unused(&self) {
        self.demands.send_if_modified(|demands| {
            let is_unused = demands.count == 0;
            if is_unused {
                *demands = Demands::default();
                self.progress.reset();
            }
            is_unused
        });
    }

    /// Whether a session has read for the present demands.
    pub(super) fn were_read(&self) -> bool {
        self.demands.borrow().were_read
    }

    /// A session reads for them.
    pub(super) fn note_read(&self) {
        self.demands.send_modify(|demands| demands.were_read = true);
        self.note_lag(0);
    }

    /// Notes how many bytes of the log are not handled yet.
    pub(super) fn note_lag(&self, bytes: u64) {
        self.lag.store(bytes, Ordering::Relaxed);
    }

    fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// What is known of the slot that keeps changes.
    pub(super) fn durable(&self) -> Option<DurableStatus> {
        self.durable.lock().clone()
    }

    /// Notes what is known of the slot that keeps changes. Returns what was known before.
    pub(super) fn set_durable(&self, status: Option<DurableStatus>) -> Option<DurableStatus> {
        std::mem::replace(&mut *self.durable.lock(), status)
    }

    /// Subscribers are notified that changes are not read.
    pub(super) fn note_unavailable(&self) {
        self.was_unavailable.store(true, Ordering::Relaxed);
    }

    /// Whether they were, since the last call.
    pub(super) fn take_unavailable(&self) -> bool {
        self.was_unavailable.swap(false, Ordering::Relaxed)
    }
}

/// Has the changes of a tenant read, until some time after it is dropped.
pub struct ChangeDemand(Arc<ChangeFollowing>);

impl Drop for ChangeDemand {
    fn drop(&mut self) {
        self.0.demands.send_modify(|demands| demands.count -= 1);
    }
}
