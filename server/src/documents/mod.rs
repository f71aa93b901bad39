//! Shared documents: Yjs documents that clients edit together, and that are durable (docs/protocol/documents.md).
//!
//! Each open document has a task, which is the only one to use its content (`task.rs`). Connections put messages into its bounded
//! mailbox (`mailbox.rs`). What waits is applied together, sent to all other members as one update, and appended to the log of the
//! document in the store (`appends.rs`); only then it is acknowledged. A document that is not used leaves the memory, while its
//! connections stay.
//!
//! Members of a document are members of a room of the hub, which does the fan-out.

mod appends;
mod awareness;
mod changing;
mod compaction;
mod content;
mod document;
mod event;
mod keys;
mod loading;
mod log;
mod mailbox;
mod member;
mod open;
mod parked;
mod publishing;
mod saving;
mod task;
mod turn;
mod unsaved;

use std::collections::HashMap;
use std::sync::Arc;

use hub::{Dialect, Payer, Privacy, RoomKey, Space};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::appends::AppendQueue;
use self::parked::ParkedDocument;
use crate::node::Node;
use crate::store::{DocumentName, DocumentStore};
use crate::tenants::Tenant;
use crate::workers::in_time_slices;

/// The dialect of y-websocket, and of y-sweet.
pub const Y_WEBSOCKET: Dialect = Dialect::new(2);

/// The dialect of Hocuspocus.
pub const HOCUSPOCUS: Dialect = Dialect::new(3);

pub use self::document::{Document, Overloaded};
pub use self::mailbox::MemberMessage;
pub use self::member::{DocumentMember, HocuspocusMember, MemberId, MemberProtocol};
pub use self::open::{OpenDocument, OpenRequest};

/// All documents of this node.
pub struct Documents {
    node: Arc<Node>,
    store: Arc<dyn DocumentStore>,
    appends: Arc<AppendQueue>,
    tasks: TaskTracker,
    /// Permits for compactions.
    compactions: Semaphore,
    open: Mutex<HashMap<RoomKey, Arc<Document>>>,
    /// Ends what appends.
    _stop: DropGuard,
}

/// Compactions at once, each of which has a document in memory a second time.
const COMPACTIONS_MAX: usize = 2;

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
        Arc::new(Self {
            node: Arc::clone(node),
            store: Arc::clone(store),
            appends,
            tasks,
            compactions: Semaphore::new(COMPACTIONS_MAX),
            open: Mutex::default(),
            _stop: stop.drop_guard(),
        })
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
        let is_default = *tenant.id == *self.node.settings().server.default_tenant;
        let owner = (!is_default).then(|| Arc::clone(&tenant.id));
        let name = DocumentName { tenant: owner, room: room.into(), doc: doc.into() };
        let document = Document::new(self, tenant, (key.clone(), name));
        open.insert(key, Arc::clone(&document));
        self.node.documents.set_open(open.len());
        document
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
}
