//! Clients that become members before their join is answered: what it asks for takes time, and nothing of the room may be
//! missed meanwhile. What the room sends to them waits in the hub (docs/protocol/channels.md#waiting-joins).

use std::sync::Arc;

use hub::{Group, Member, Membership, Receives, RoomKey};

use super::PhoenixSession;
use super::outbound::Outbound;
use crate::auth::Rights;
use crate::changes::ChangeSubscription;

/// A client that is a member already.
pub(super) struct EarlyMember {
    pub(super) membership: Membership,
    pub(super) rights: Rights,
    /// How often messages of the database had possibly been lost before.
    pub(super) gaps: u64,
    /// The changes that it is subscribed to already.
    pub(super) changes: Option<ChangeSubscription>,
}

impl PhoenixSession {
    /// Makes the client a member, to which the room sends nothing yet.
    pub(super) fn join_early(&self, room: RoomKey, rights: Rights) -> EarlyMember {
        let membership = self.services.node.hub.join_replaying(room, self.member(rights));
        EarlyMember { membership, rights, gaps: self.database_gaps, changes: None }
    }

    /// As which member the client joins.
    pub(super) fn member(&self, rights: Rights) -> Member {
        let receives = if rights.read_broadcasts { Receives::Everything } else { Receives::NoBroadcasts };
        let Outbound { outbox, dialect, .. } = &self.outbound;
        Member { outbox: Arc::clone(outbox), dialect: *dialect, group: Group::DEFAULT, receives }
    }
}
