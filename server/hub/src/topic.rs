//! What names a room.
//!
//! A room belongs to one tenant, and neither tenant nor privacy can be spelled inside a topic: they are
//! fields of the key, so no topic a client invents reaches another tenant's or a private room.

use std::sync::Arc;

/// Which kind of client meets in a room; rooms of different spaces never share members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Phoenix channels: supabase-js and its sisters.
    Phoenix,
    /// Rooms of the Realtime SDK.
    Rooms,
    /// Yjs documents.
    Document,
}

/// Whether policies guard the room. A public and a private room of one topic are two rooms.
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
    /// Who owns it.
    pub tenant: Arc<str>,
    /// Which kind of client meets in it.
    pub space: Space,
    /// Whether policies guard it.
    pub privacy: Privacy,
    /// Its name, without any prefix a protocol puts before it.
    pub topic: Box<str>,
}
