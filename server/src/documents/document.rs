//! One open document as connections reach it: its mailbox, and its place in the room.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hub::{Group, MemoryKind, NodeId, RoomKey};
use parking_lot::Mutex;

use super::keys::RoutingKeys;
use super::log::Log;
use super::mailbox::{Batch, DocumentNotices, Mailbox, MailboxBounds, MailboxLoad, Next, NotPut, Saved};
use super::member::{DocumentMember, MemberId};
use super::parked::ParkedDocument;
use super::request::{MemberMessage, PeerMessage, Request};
use super::{DocumentLimits, Documents};
use crate::auth::DocumentAccess;
use crate::store::DocumentName;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Tenant;

/// Requests that a task takes at once. What they change goes out as one update.
const BATCH_MAX: usize = 1_024;

/// Bytes that a waiting message takes beside its content.
const MESSAGE_OVERHEAD: usize = 96;

/// A document that is open.
pub struct Document {
    /// The room of its members.
    pub(super) room: RoomKey,
    /// What the store calls it.
    pub(super) name: Arc<DocumentName>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) documents: Arc<Documents>,
    pub(super) keys: RoutingKeys,
    pub(super) log: Log,
    mailbox: Mutex<Mailbox>,
}

/// A message cannot be taken now: the document cannot keep up, or the tenant has no memory for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document is overloaded")]
pub struct Overloaded;

impl Document {
    pub(super) fn new(
        documents: &Arc<Documents>,
        tenant: &Arc<Tenant>,
        (room, name): (RoomKey, DocumentName),
    ) -> Arc<Self> {
        Arc::new(Self {
            room,
            name: name.into(),
            tenant: Arc::clone(tenant),
            documents: Arc::clone(documents),
            keys: RoutingKeys::default(),
            log: Log::default(),
            mailbox: Mutex::new(Mailbox::new()),
        })
    }

    /// How large it and what is sent for it may be.
    pub(super) fn limits(&self) -> DocumentLimits {
        DocumentLimits::of(&self.documents.node, &self.tenant)
    }

    /// Reports an operational code that concerns it.
    pub(super) fn report(&self, code: Code, why: impl fmt::Display) {
        let text = format_args!("{}: {why}", self.room.topic);
        self.tenant.reports.record(code.at(Scope::Log), text);
    }

    /// The group of members that use `key`.
    pub(super) fn acquire_key(&self, key: Option<&Arc<str>>) -> Group {
        key.map_or(Group::DEFAULT, |key| self.keys.acquire(key))
    }

    /// A connection opens it.
    pub(super) fn join(self: &Arc<Self>, member: DocumentMember) -> Result<MemberId, NotPut> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = MemberId(NEXT.fetch_add(1, Ordering::Relaxed));
        self.put(Request::Join(id, member)).map(|()| id)
    }

    pub(super) fn leave(self: &Arc<Self>, member: MemberId) {
        // A closed document has no members.
        let _closed = self.put(Request::Leave(member));
    }

    pub(super) fn set_access(self: &Arc<Self>, member: MemberId, access: DocumentAccess) {
        let _closed = self.put(Request::Access(member, access));
    }

    pub(super) fn caught_up(self: &Arc<Self>, member: MemberId) {
        let _closed = self.put(Request::CaughtUp(member));
    }

    pub(super) fn ask(self: &Arc<Self>, member: MemberId) {
        let _closed = self.put(Request::Ask(member));
    }

    pub(super) fn message(
        self: &Arc<Self>,
        member: MemberId,
        message: MemberMessage,
    ) -> Result<(), Overloaded> {
        let memory = &self.tenant.memory;
        let bytes = MESSAGE_OVERHEAD + message.bytes();
        let Some(charge) = memory.try_charge(MemoryKind::Documents, bytes) else {
            memory.count_refusal(MemoryKind::Documents);
            return Err(Overloaded);
        };
        self.put(Request::Message(member, message, charge)).map_err(|_full| {
            self.report(Code::DocumentQueueLimitReached, Overloaded);
            Overloaded
        })
    }

    /// A message of another node.
    pub(super) fn peer_message(self: &Arc<Self>, from: NodeId, message: PeerMessage) {
        let memory = &self.tenant.memory;
        let charge = memory.try_charge(MemoryKind::Documents, MESSAGE_OVERHEAD + message.bytes());
        if charge.is_none() {
            memory.count_refusal(MemoryKind::Documents);
        }
        let put = charge.map(|charge| self.put(Request::Peer(from, message, charge)));
        if matches!(put, None | Some(Err(NotPut::Full))) {
            self.notify(|notices| notices.has_missed = true);
        }
    }

    /// Has its task know something.
    pub(super) fn notify(self: &Arc<Self>, note: impl FnOnce(&mut DocumentNotices)) {
        let next = self.mailbox.lock().notify(note);
        self.proceed(next);
    }

    fn put(self: &Arc<Self>, request: Request) -> Result<(), NotPut> {
        let bounds = {
            let settings = &self.documents.node.settings().documents;
            let bytes = usize::try_from(settings.queue_bytes.as_u64()).unwrap_or(usize::MAX);
            MailboxBounds { messages: settings.queue_messages.get() as usize, bytes }
        };
        let next = self.mailbox.lock().put(request, bounds)?;
        self.proceed(next);
        Ok(())
    }

    /// Its task has taken this out and cannot handle it yet.
    pub(super) fn set_held(&self, held: MailboxLoad) {
        self.mailbox.lock().set_held(held);
    }

    /// Its append has ended.
    pub(super) fn saved(self: &Arc<Self>, saved: Saved) {
        let next = self.mailbox.lock().put_saved(saved);
        self.proceed(next);
    }

    fn proceed(self: &Arc<Self>, next: Next) {
        match next {
            Next::Start(parked) => super::start(self, parked),
            Next::Wake(waker) => waker.into_iter().for_each(|waker| waker.wake()),
        }
    }

    /// What waits for its task.
    pub(super) fn take(&self) -> impl Future<Output = Batch> {
        poll_fn(|cx| self.mailbox.lock().poll_take(BATCH_MAX, cx))
    }

    /// Ends its task until something is put in. Returns what was to be kept if something waits by now.
    pub(super) fn park(&self, parked: Box<ParkedDocument>) -> Result<(), Box<ParkedDocument>> {
        self.mailbox.lock().park(parked)
    }

    /// Ends it for good, because its task has failed. Returns what waits.
    pub(super) fn abandon(&self) -> Vec<Request> {
        self.mailbox.lock().abandon()
    }

    /// Ends it for good, if nothing waits.
    pub(super) fn close(&self) -> bool {
        self.mailbox.lock().close()
    }
}
