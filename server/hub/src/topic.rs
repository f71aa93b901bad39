//! The identity of a room.
//!
//! A room belongs to one tenant. Tenant and privacy are fields of the key and not part of the topic, so no
//! topic that a client chooses reaches another tenant's room or a private one.

use std::sync::Arc;

/// The kind of clients that use a room. Rooms of different spaces never share members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Phoenix channels: supabase-js and the other Supabase clients.
    Phoenix,
    /// Rooms of the Realtime SDK.
    Rooms,
    /// Yjs documents.
    Document,
}

/// Whether policies apply to the room. A public and a private room with the same topic are two rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Privacy {
    /// Anyone with a valid token may join.
    Public,
    /// The tenant database decides who may read and write.
    Private,
}

/// The identity of a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoomKey {
    /// The tenant that owns the room.
    pub tenant: Arc<str>,
    /// The kind of clients that use it.
    pub space: Space,
    /// Whether policies apply to it.
    pub privacy: Privacy,
    /// Its name, without the prefix of any protocol.
    pub topic: Box<str>,
}
