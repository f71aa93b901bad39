//! What one member shows of itself in one room.
//!
//! A client may change what it shows only so often. What comes faster is not refused and does not end the
//! channel, as upstream does: the newest state is held back and shown when the window reopens, because
//! with presence only the newest counts.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use hub::{Membership, PresenceEntry};
use wire::{supabase, term_size};

use super::References;
use crate::telemetry::codes::Code;
use crate::tenants::Tenant;

/// Why a presence call is not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// The tenant's clients together are over `limits.max_presence_events_per_second`.
    #[error("Too many presence messages per second")]
    TooMany,
    /// The tracked object is over `limits.max_payload_size_in_kb`, or with everything else this client shows
    /// over `presence.max_bytes_per_client`.
    #[error("Track message size exceeded")]
    TooLarge,
}

impl PresenceError {
    /// The word that operators search their logs for.
    pub fn code(self) -> Code {
        match self {
            Self::TooMany => Code::PresenceRateLimitReached,
            Self::TooLarge => Code::PayloadSizeExceeded,
        }
    }
}

/// One member's presence.
#[derive(Debug)]
pub struct Tracker {
    key: Arc<str>,
    shown: Option<Shown>,
    window: Option<Window>,
    held: Option<Held>,
}

/// The newest state given to the room.
#[derive(Debug)]
struct Shown {
    reference: String,
    /// The ref of the state before it that the others have been told of. In a burst that is not the last.
    previous: Option<String>,
    bytes: usize,
    /// Stands for the payload, to tell whether the next one is the same without keeping it twice.
    fingerprint: u64,
}

/// The current window of the limit per client.
#[derive(Debug)]
struct Window {
    opened: Instant,
    calls: u32,
}

/// The newest wish that came too fast.
#[derive(Debug)]
enum Held {
    Track(Box<str>),
    Untrack,
}

impl Tracker {
    /// A member known by `key`; without one it gets a key of its own.
    pub fn new(key: Option<&str>) -> Self {
        let key = key.map_or_else(|| uuid::Uuid::new_v4().to_string().into(), Arc::from);
        Self { key, shown: None, window: None, held: None }
    }

    /// Shows `payload`, the text of a JSON object, now or as soon as this client may again. At most
    /// `bytes_max` of it are to be kept.
    ///
    /// # Errors
    /// When a limit is reached; what was shown before stays.
    pub fn track(
        &mut self,
        tenant: &Tenant,
        membership: &Membership,
        payload: &str,
        bytes_max: usize,
        now: Instant,
    ) -> Result<(), PresenceError> {
        let unchanged = self.shown.as_ref().is_some_and(|shown| shown.fingerprint == fingerprint(payload));
        if payload.len() > bytes_max {
            return Err(PresenceError::TooLarge);
        }
        if !self.may_call(tenant, now) {
            check_size(tenant, payload)?;
            self.held = (!unchanged).then(|| Held::Track(payload.into()));
            return Ok(());
        }
        self.held = None;
        if unchanged {
            return Ok(());
        }
        check_size(tenant, payload)?;
        self.show(tenant, membership, payload, now)
    }

    /// Shows nothing any more, now or as soon as this client may again.
    pub fn untrack(&mut self, tenant: &Tenant, membership: &Membership, now: Instant) {
        if self.may_call(tenant, now) {
            self.hide(membership);
        } else {
            self.held = Some(Held::Untrack);
        }
    }

    /// Counts a call that asked for nothing that can be done.
    pub fn unknown(&mut self, tenant: &Tenant, now: Instant) {
        let _counted = self.may_call(tenant, now);
    }

    /// Bytes kept for this member: what it shows and what is held back.
    pub fn bytes(&self) -> usize {
        let held = match &self.held {
            Some(Held::Track(payload)) => payload.len(),
            Some(Held::Untrack) | None => 0,
        };
        held + self.shown.as_ref().map_or(0, |shown| shown.bytes)
    }

    /// When something held back is to be shown, if there is something.
    pub fn deadline(&self, tenant: &Tenant) -> Option<Instant> {
        let window = self.window.as_ref().filter(|_| self.held.is_some())?;
        Some(window.opened + tenant.allowance.client_presence_window())
    }

    /// Shows what was held back, if its time has come.
    pub fn release(&mut self, tenant: &Tenant, membership: &Membership, now: Instant) {
        if self.deadline(tenant).is_none_or(|deadline| deadline > now) || !self.may_call(tenant, now) {
            return;
        }
        match self.held.take() {
            Some(Held::Track(payload)) => {
                // Refused only if the whole tenant is over its limit; then the newest state stays held.
                let refused = self.show(tenant, membership, &payload, now).err();
                self.held = refused.map(|_too_many| Held::Track(payload));
            }
            Some(Held::Untrack) => self.hide(membership),
            None => {}
        }
    }

    fn show(
        &mut self,
        tenant: &Tenant,
        membership: &Membership,
        payload: &str,
        now: Instant,
    ) -> Result<(), PresenceError> {
        if !tenant.allowance.presence_events.take(1, now) {
            tenant.metrics.limited.increment(1);
            return Err(PresenceError::TooMany);
        }
        tenant.metrics.presence_events.increment(1);
        let reference = References::next();
        let announced = membership.is_announced();
        let previous =
            self.shown.take().and_then(|old| if announced { Some(old.reference) } else { old.previous });
        let meta = supabase::presence_meta(payload, &reference, previous.as_deref());
        membership.track(PresenceEntry { key: Arc::clone(&self.key), meta: meta.into() });
        self.shown =
            Some(Shown { reference, previous, bytes: payload.len(), fingerprint: fingerprint(payload) });
        Ok(())
    }

    fn hide(&mut self, membership: &Membership) {
        self.held = None;
        if self.shown.take().is_some() {
            membership.untrack();
        }
    }

    /// Counts a call in this client's window. `false` when the window is full.
    fn may_call(&mut self, tenant: &Tenant, now: Instant) -> bool {
        let allowance = &tenant.allowance;
        let open = |window: &&mut Window| now < window.opened + allowance.client_presence_window();
        match self.window.as_mut().filter(open) {
            Some(window) => {
                window.calls = window.calls.saturating_add(1);
                window.calls <= allowance.client_presence_calls()
            }
            None => {
                self.window = Some(Window { opened: now, calls: 1 });
                true
            }
        }
    }
}

fn check_size(tenant: &Tenant, payload: &str) -> Result<(), PresenceError> {
    let exceeds = term_size::exceeds(payload, tenant.allowance.max_payload_bytes());
    if exceeds { Err(PresenceError::TooLarge) } else { Ok(()) }
}

fn fingerprint(payload: &str) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one(payload)
}
