//! Shared documents: Yjs documents that clients edit together, and that are durable (docs/protocol/documents.md).
//!
//! Each open document has a task, which is the only one to use its content (`task.rs`). Connections put messages into its bounded
//! mailbox (`mailbox.rs`). What waits is applied together, sent to all other members as one update, and appended to the log of the
//! document in the store (`appends.rs`); only then it is acknowledged. A document that is not used leaves the memory, while its
//! connections stay.
//!
//! Members of a document are members of a room of the hub, which does the fan-out. Other nodes have the same document open for their
//! members: what is exchanged with them is in `exchanging.rs`, and how what was missed is found in `versions.rs`.

mod appends;
mod awareness;
mod change;
mod changing;
mod compaction;
mod content;
mod deferred;
mod delayed_answers;
mod document;
mod event;
mod exchange;
mod exchanging;
mod held;
mod keys;
mod limits;
mod loading;
mod log;
mod mailbox;
mod member;
mod open;
mod parked;
mod peers;
mod publishing;
mod refused;
mod request;
mod saving;
mod stored_answer;
mod task;
mod turn;
mod unsaved;
mod versions;
pub mod y_sweet;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use hub::{Dialect, Payer, Privacy, RoomKey, Space};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::info;

use self::appends::AppendQueue;
use self::parked::ParkedDocument;
use self::request::Request;
use crate::node::{LifecyclePhase, Node};
use crate::store::{DocumentName, DocumentStore};
use crate::tenants::Tenant;
use crate::workers::in_time_slices;

/// The dialect of y-websocket, and of y-sweet.
pub const Y_WEBSOCKET: Dialect = Dialect::new(2);

/// The dialect of Hocuspocus.
pub const HOCUSPOCUS: Dialect = Dialect::new(3);

/// The document of a room that is named alone.
pub const DEFAULT_DOCUMENT: &str = "default";

pub use self::document::{Document, Overloaded};
pub use self::limits::DocumentLimits;
pub use self::member::{DocumentMember, HocuspocusMember, MemberId, MemberProtocol};
pub use self::open::{OpenDocument, OpenRequest};
pub use self::request::MemberMessage;

/// All documents of this node.
pub struct Documents {
    node: Arc<Node>,
    store: Arc<dyn DocumentStore>,
    appends: Arc<AppendQueue>,
    tasks: TaskTracker,
    /// Permits for compactions.
    compactions: Semaphore,
    open: Mutex<HashMap<RoomKey, Arc<Document>>>,
    /// Notified when other nodes may have stored something that is not known here.
    outdated: Notify,
    /// Ends what appends.
    _stop: DropGuard,
}

/// Compactions at once: each has a document in memory a second time, and appends wait while it writes.
const COMPACTIONS_MAX: usize = 1;

/// Starts the task of a document.
fn start(document: &Arc<Document>, parked: Box<ParkedDocument>) {
    let payer = Arc::new(Payer::new(document.tenant.memory.party()));
    let work = in_time_slices(payer, task::run(Arc::clone(document), parked));
    document.documents.tasks.spawn(work);
}

impl Documents {
    /// The documents in `store`.
    pub fn new(node: &Arc<Node>, store: &Arc<dyn DocumentStore>, tasks: TaskTracker) -> Arc<Self> {
        let (appends, stop) = (Arc::new(AppendQueue::default()), CancellationToken::new());
        // Not one of the tasks that a stop waits for: it ends after those, whose updates it appends.
        tokio::spawn(Arc::clone(&appends).run(Arc::clone(node), Arc::clone(store), stop.clone()));
        let documents = Arc::new(Self {
            node: Arc::clone(node),
            store: Arc::clone(store),
            appends,
            tasks,
            compactions: Semaphore::new(COMPACTIONS_MAX),
            open: Mutex::default(),
            outdated: Notify::new(),
            _stop: stop.drop_guard(),
        });
        let peers: Weak<Self> = Arc::downgrade(&documents);
        node.use_documents(peers);
        if documents.node.hub.has_relay() && !documents.store.is_shared() {
            info!(
                "Documents are not shared with the nodes on the bus, unless all of them have the same PostgreSQL (`store.url`)"
            );
        }
        if documents.are_shared() {
            let stopping = node.lifecycle.token(LifecyclePhase::Stopping);
            documents.tasks.spawn(versions::run(Arc::downgrade(&documents), stopping));
        }
        documents
    }

    /// Whether other nodes may have the same documents. With a store of its own a node has its own, even if it is on a bus.
    fn are_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// The document `doc` of `room`, which is opened if it is not.
    fn document(self: &Arc<Self>, tenant: &Arc<Tenant>, room: &str, doc: &str) -> Arc<Document> {
        let key = RoomKey {
            tenant: Arc::clone(&tenant.id),
            space: Space::Document,
            privacy: Privacy::Public,
            topic: format!("{room}/{doc}").into(),
        };
        let mut open = self.open.lock();
        if let Some(document) = open.get(&key) {
            return Arc::clone(document);
        }
        let name = self.name(tenant, room, doc);
        let document = Document::new(self, tenant, (key.clone(), name));
        open.insert(key, Arc::clone(&document));
        self.node.documents.set_open(open.len());
        document
    }

    /// What the store calls the document `doc` of `room`.
    fn name(&self, tenant: &Tenant, room: &str, doc: &str) -> DocumentName {
        let is_default = *tenant.id == *self.node.settings().server.default_tenant;
        let owner = (!is_default).then(|| Arc::clone(&tenant.id));
        DocumentName { tenant: owner, room: room.into(), doc: doc.into() }
    }

    /// Removes a document without members, if nothing waits for it.
    fn close(&self, document: &Document) -> bool {
        let mut open = self.open.lock();
        let is_closed = document.close();
        if is_closed {
            open.remove(&document.room);
            self.node.documents.set_open(open.len());
        }
        is_closed
    }

    /// Removes a document whose task has failed. Returns what waits for it.
    fn abandon(&self, document: &Document) -> Vec<Request> {
        let mut open = self.open.lock();
        open.remove(&document.room);
        self.node.documents.set_open(open.len());
        document.abandon()
    }
}
