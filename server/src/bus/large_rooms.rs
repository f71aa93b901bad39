//! Presence of more than a batch: that of a single large room.
//!
//! What is read or stored together is bounded, unless one room has more, and how much that may be its tenant's limits say.
//! So its bytes are charged to the tenant as long as they are here besides what rooms show, and one such room is read at a
//! time. As to storing, [`BATCH_BYTES`](super::BATCH_BYTES) bound what may begin behind it.

use std::fmt;
use std::sync::Arc;

use hub::{MemoryCharge, MemoryKind, TenantMemory};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::RoomName;

/// How often the bytes are here while they are read: as responses, and as the entries made of them.
const COPIES_READ: usize = 2;

/// How often they are here while they are stored: as entries, as commands, and packed.
const COPIES_STORED: usize = 3;

/// The account of the tenant of a room, if there is such a tenant.
type AccountOf = dyn Fn(&RoomName) -> Option<Arc<TenantMemory>> + Send + Sync;

/// Charges large rooms to their tenants, and has one read at a time. Clones share that turn.
#[derive(Clone)]
pub struct LargeRooms {
    account: Arc<AccountOf>,
    turn: Arc<Semaphore>,
}

/// A large room that is being read, to be kept until what was read is dropped.
#[derive(Debug)]
pub struct LargeRead {
    _charge: Option<MemoryCharge>,
    _turn: OwnedSemaphorePermit,
}

impl LargeRooms {
    /// Rooms whose tenants have these accounts.
    pub fn new(account: impl Fn(&RoomName) -> Option<Arc<TenantMemory>> + Send + Sync + 'static) -> Self {
        Self { account: Arc::new(account), turn: Arc::new(Semaphore::new(1)) }
    }

    /// The room, of about so many bytes, is to be read. Waits until no other is.
    pub(super) async fn begin_read(&self, room: &RoomName, bytes: usize) -> LargeRead {
        let turn = Arc::clone(&self.turn).acquire_owned().await.expect("it is never closed");
        LargeRead { _charge: self.charge(room, bytes.saturating_mul(COPIES_READ)), _turn: turn }
    }

    /// Charges a command about the room, of so many bytes, until it is executed.
    pub(super) fn charge_command(&self, room: &RoomName, bytes: usize) -> Option<MemoryCharge> {
        self.charge(room, bytes.saturating_mul(COPIES_STORED))
    }

    /// Beyond the limit, if need be: the room is shown already, and would be wrong elsewhere.
    fn charge(&self, room: &RoomName, bytes: usize) -> Option<MemoryCharge> {
        (self.account)(room).map(|account| account.charge(MemoryKind::Presence, bytes))
    }
}

impl fmt::Debug for LargeRooms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LargeRooms").field("turn", &self.turn).finish_non_exhaustive()
    }
}
