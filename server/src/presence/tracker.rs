//! What one member tracks in one room.
//!
//! A client may change it only so often. Calls that come faster are not refused and do not end the channel, as upstream
//! does it: the newest state is held back and tracked when the window reopens, because of presence only the newest state
//! matters.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use hub::{EntryRefusal, Membership, MemoryCharge, MemoryKind, PresenceEntry};
use wire::{supabase, term_size};

use super::References;
use super::tracked_bytes::{RoomTrackedBytes, TrackedBytes};
use crate::telemetry::codes::Code;
use crate::telemetry::metrics::MessageType;
use crate::tenants::Tenant;

/// Why a presence call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// The policies of the room do not allow it.
    #[error("You do not have permissions to track presence in this Channel topic")]
    Denied,
    /// The tenant's clients together are over `limits.max_presence_events_per_second`.
    #[error("Too many presence messages per second")]
    TooMany,
    /// The tracked object is over `limits.max_payload_size_in_kb`.
    #[error("Track message size exceeded")]
    TooLarge,
    /// With everything else that this client tracks it is over `presence.max_bytes_per_client`.
    #[error("{}", Code::ClientPresenceSizeExceeded.text())]
    ClientFull,
    /// The room would show more than `limits.max_presence_bytes_per_room`.
    #[error("Room presence size exceeded")]
    RoomFull,
    /// The tenant may use no more of `server.memory_budget`.
    #[error("Memory for presence is used up, try again later")]
    OutOfMemory,
}

impl PresenceError {
    /// The operational code, for the log.
    pub fn code(self) -> Code {
        match self {
            Self::Denied => Code::Unauthorized,
            Self::TooMany => Code::PresenceRateLimitReached,
            Self::TooLarge => Code::PayloadSizeExceeded,
            Self::ClientFull => Code::ClientPresenceSizeExceeded,
            Self::RoomFull => Code::RoomPresenceSizeExceeded,
            Self::OutOfMemory => Code::MemoryLimitReached,
        }
    }
}

/// One member's presence.
#[derive(Debug)]
pub struct Tracker {
    key: Arc<str>,
    tracked: Option<Tracked>,
    window: Option<CallWindow>,
    held: Option<HeldCall>,
    tracked_bytes: RoomTrackedBytes,
}

/// The newest state given to the room.
#[derive(Debug)]
struct Tracked {
    reference: String,
    /// The ref of the newest state before it that was announced. In a burst that is not the last one.
    previous: Option<String>,
    bytes: usize,
    /// Of the payload: tells whether the next payload is the same, without a second copy of it.
    fingerprint: u64,
}

/// The current window of the limit per client.
#[derive(Debug)]
struct CallWindow {
    opened: Instant,
    calls: u32,
}

/// The newest call beyond the limit per client.
#[derive(Debug)]
enum HeldCall {
    Track { payload: Box<str>, charge: MemoryCharge },
    Untrack,
}

impl Tracker {
    /// A member with the key `key`, or with a random one. The key and what it tracks count in `of_client`.
    pub fn new(key: Option<Box<str>>, of_client: &TrackedBytes) -> Self {
        let key = key.map_or_else(|| uuid::Uuid::new_v4().to_string().into(), Arc::from);
        let mut tracker =
            Self { key, tracked: None, window: None, held: None, tracked_bytes: of_client.of_room() };
        tracker.tracked_bytes.set(tracker.bytes());
        tracker
    }

    /// Tracks `payload`, the text of a JSON object, now or as soon as the limit per client allows. The client may track
    /// `bytes_max` in all its rooms together.
    ///
    /// # Errors
    /// When a limit is reached; what was tracked before stays.
    pub fn track(
        &mut self,
        tenant: &Tenant,
        membership: &Membership,
        payload: &str,
        bytes_max: usize,
        now: Instant,
    ) -> Result<(), PresenceError> {
        tenant.metrics.payload_size(MessageType::Presence).record(payload.len() as f64);
        let result = self.try_track(tenant, membership, payload, bytes_max, now);
        self.tracked_bytes.set(self.bytes());
        result
    }

    fn try_track(
        &mut self,
        tenant: &Tenant,
        membership: &Membership,
        payload: &str,
        bytes_max: usize,
        now: Instant,
    ) -> Result<(), PresenceError> {
        let unchanged =
            self.tracked.as_ref().is_some_and(|tracked| tracked.fingerprint == fingerprint(payload));
        if self.key.len() + payload.len() > bytes_max.saturating_sub(self.tracked_bytes.used_by_others()) {
            // An object that is too large by itself has the reason that it always has.
            return Err(check_size(tenant, payload).err().unwrap_or(PresenceError::ClientFull));
        }
        if !self.may_call(tenant, now) {
            check_size(tenant, payload)?;
            if unchanged {
                self.held = None;
                return Ok(());
            }
            return self.hold(tenant, payload);
        }
        self.held = None;
        if unchanged {
            return Ok(());
        }
        check_size(tenant, payload)?;
        self.track_now(tenant, membership, payload, now)
    }

    /// Holds `payload` back in place of what is held.
    fn hold(&mut self, tenant: &Tenant, payload: &str) -> Result<(), PresenceError> {
        let (memory, bytes) = (&tenant.memory, payload.len());
        let is_charged = match &mut self.held {
            Some(HeldCall::Track { payload: held, charge }) => {
                let is_charged = charge.try_resize(bytes);
                if is_charged {
                    *held = payload.into();
                }
                is_charged
            }
            Some(HeldCall::Untrack) | None => match memory.try_charge(MemoryKind::Held, bytes) {
                Some(charge) => {
                    self.held = Some(HeldCall::Track { payload: payload.into(), charge });
                    true
                }
                None => false,
            },
        };
        if is_charged {
            return Ok(());
        }
        memory.count_refusal(MemoryKind::Held);
        Err(PresenceError::OutOfMemory)
    }

    /// Tracks nothing any more, now or as soon as the limit per client allows.
    pub fn untrack(&mut self, tenant: &Tenant, membership: &Membership, now: Instant) {
        if self.may_call(tenant, now) {
            self.untrack_now(membership);
        } else {
            self.held = Some(HeldCall::Untrack);
        }
        self.tracked_bytes.set(self.bytes());
    }

    /// Counts a call that has no effect.
    pub fn unknown(&mut self, tenant: &Tenant, now: Instant) {
        let _counted = self.may_call(tenant, now);
    }

    /// When a held call is due, if there is one.
    pub fn deadline(&self, tenant: &Tenant) -> Option<Instant> {
        let window = self.window.as_ref().filter(|_| self.held.is_some())?;
        Some(window.opened + tenant.allowance.client_presence_window())
    }

    /// Does what a held call asked for, if it is due.
    pub fn release(&mut self, tenant: &Tenant, membership: &Membership, now: Instant) {
        if self.deadline(tenant).is_none_or(|deadline| deadline > now) || !self.may_call(tenant, now) {
            return;
        }
        match self.held.take() {
            Some(HeldCall::Track { payload, charge }) => {
                // Refused only if the whole tenant or the room is over a limit; then the newest state stays held.
                let refused = self.track_now(tenant, membership, &payload, now).err();
                self.held = refused.map(|_limit| HeldCall::Track { payload, charge });
            }
            Some(HeldCall::Untrack) => self.untrack_now(membership),
            None => {}
        }
        self.tracked_bytes.set(self.bytes());
    }

    /// Bytes kept for this member: its key, what it tracks, and what is held back.
    fn bytes(&self) -> usize {
        let held = match &self.held {
            Some(HeldCall::Track { payload, .. }) => payload.len(),
            Some(HeldCall::Untrack) | None => 0,
        };
        self.key.len() + held + self.tracked.as_ref().map_or(0, |tracked| tracked.bytes)
    }

    fn track_now(
        &mut self,
        tenant: &Tenant,
        membership: &Membership,
        payload: &str,
        now: Instant,
    ) -> Result<(), PresenceError> {
        if !tenant.allowance.presence_events.take(1, now) {
            return Err(PresenceError::TooMany);
        }
        let reference = References::next();
        let announced = membership.is_announced();
        let old = self.tracked.as_ref();
        let previous = old
            .and_then(|old| if announced { Some(old.reference.as_str()) } else { old.previous.as_deref() });
        let meta = supabase::presence_meta(payload, &reference, previous);
        let entry = PresenceEntry { key: Arc::clone(&self.key), meta: meta.into() };
        let bytes_max = tenant.allowance.max_presence_bytes_per_room();
        if let Err(refusal) = membership.track_within(bytes_max, entry) {
            return Err(match refusal {
                EntryRefusal::RoomFull => PresenceError::RoomFull,
                EntryRefusal::OutOfMemory => PresenceError::OutOfMemory,
            });
        }
        tenant.metrics.presence_events.increment(1);
        let previous = previous.map(str::to_owned);
        let (bytes, fingerprint) = (payload.len(), fingerprint(payload));
        self.tracked = Some(Tracked { reference, previous, bytes, fingerprint });
        Ok(())
    }

    fn untrack_now(&mut self, membership: &Membership) {
        self.held = None;
        if self.tracked.take().is_some() {
            membership.untrack();
        }
    }

    /// Counts a call in this client's window. `false` when the window is full.
    fn may_call(&mut self, tenant: &Tenant, now: Instant) -> bool {
        let allowance = &tenant.allowance;
        let open = |window: &&mut CallWindow| now < window.opened + allowance.client_presence_window();
        match self.window.as_mut().filter(open) {
            Some(window) => {
                window.calls = window.calls.saturating_add(1);
                window.calls <= allowance.client_presence_calls()
            }
            None => {
                self.window = Some(CallWindow { opened: now, calls: 1 });
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
