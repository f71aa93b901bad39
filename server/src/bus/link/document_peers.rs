//! The shared documents of this node, as the link to the other nodes reaches them.

use hub::{NodeId, RoomKey};
use wire::relay::Events;

/// The shared documents of this node. Nothing here waits.
pub trait DocumentPeers: Send + Sync {
    /// Another node has published this in the room of a document.
    fn receive(&self, room: &RoomKey, from: NodeId, events: &Events<'_>);

    /// What other nodes have published in the room of a document has not all arrived.
    fn missed(&self, room: &RoomKey);

    /// Other nodes may have stored something in any document that was not published, or did not arrive.
    fn missed_any(&self);

    /// This node is connected again, and subscribed to all rooms: others may have removed what its members show.
    fn reconnected(&self);

    /// A node is gone.
    fn removed(&self, node: NodeId);
}
