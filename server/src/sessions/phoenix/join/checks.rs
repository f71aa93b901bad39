//! The checks of a join up to its authorization (docs/protocol/channels.md#join-checks), and what it is charged.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hub::MemoryCharge;
use wire::phoenix::{FIELD_BYTES_MAX, Push};
use wire::supabase::{JoinRequest, JoinToken, Private, Replay};

use super::error::{JoinError, OUT_OF_MEMORY, PRIVATE_UNREADABLE, TENANT_NOT_FOUND};
use crate::node::LifecyclePhase;
use crate::sessions::KeptClaims;
use crate::sessions::kept_claims::try_charge;
use crate::sessions::phoenix::PhoenixSession;
use crate::telemetry::codes::Code;
use crate::tenants::{Policy, TenantStatus};

/// Bytes that a joined channel takes beside its texts: the membership, the room and its entries in maps, and a tracker.
const JOINED_BYTES: usize = 1024;

/// Bytes that a subscription to changes of tables takes beside its texts, which are kept as they are sent, as they are read,
/// and in the index of their table.
const BINDING_BYTES: usize = 1024;

impl PhoenixSession {
    /// The checks of docs/protocol/channels.md#join-checks in their order, up to the authorization. The error is the
    /// reason that the client receives.
    pub(super) fn check_join(
        &self,
        sub_topic: &str,
        topic: &str,
        request: &JoinRequest,
    ) -> Result<Arc<KeptClaims>, JoinError> {
        let (allowance, policy) = (&self.tenant.allowance, self.tenant.policy());
        if sub_topic.is_empty() {
            return Err(JoinError::of(Code::TopicNameRequired));
        }
        if topic.len() > FIELD_BYTES_MAX {
            return Err(JoinError::of(Code::TopicNameTooLong));
        }
        self.check_availability(&policy, request)?;
        if self.user.is_none() && !self.tenant.has_room() {
            return Err(JoinError::of(Code::ConnectionRateLimitReached));
        }
        // Before the token is verified, which costs more; counted after that, so that others cannot use up the rate.
        if !allowance.joins.has_any(Instant::now()) {
            return Err(JoinError::of(Code::ClientJoinRateLimitReached));
        }
        let claims = self.verify_join(&policy, &request.token)?;
        if !allowance.joins.take(1, Instant::now()) {
            return Err(JoinError::of(Code::ClientJoinRateLimitReached));
        }
        self.tenant.metrics.joins.increment(1);
        if self.topics.len() + self.joining_topics() >= allowance.max_channels_per_client() {
            return Err(JoinError::of(Code::ChannelRateLimitReached));
        }
        match request.private {
            Private::Unreadable => Err(PRIVATE_UNREADABLE),
            _ if self.has_long_key(request) => Err(JoinError::of(Code::PresenceKeySizeExceeded)),
            Private::No if request.replay.is_some() && !self.tenant.keeps_history_of(sub_topic) => {
                Err(JoinError::of(Code::UnableToReplayMessages))
            }
            _ if policy.database().is_none() && needs_database(request) => {
                Err(JoinError::of(Code::UnableToConnectToProject))
            }
            _ => Ok(claims),
        }
    }

    /// Charges what a join will keep, as long as it keeps it.
    pub(super) fn charge_join(
        &self,
        push: &Push<'_>,
        request: &JoinRequest,
    ) -> Result<MemoryCharge, JoinError> {
        let key = request.presence_key.as_ref().map_or(0, String::len);
        // The topic is kept for the session and for the room.
        // The ids are kept for the join and for its question.
        let ids = match &request.replay {
            Some(Replay::Messages(request)) => 2 * size_of_val(&*request.after),
            Some(Replay::Invalid | Replay::NoMap) | None => 0,
        };
        // Without `config` the topic names a table.
        let of_topic = request.legacy.then_some(push.topic.len());
        let texts = request.postgres_changes.iter().map(|binding| binding.get().len()).chain(of_topic);
        let bindings: usize = texts.map(|len| BINDING_BYTES + 4 * len).sum();
        let bytes =
            JOINED_BYTES + 2 * push.topic.len() + push.join_ref.as_json().len() + key + ids + bindings;
        try_charge(&self.tenant.memory, bytes).ok_or(OUT_OF_MEMORY)
    }

    /// The claims that a join acts with.
    fn verify_join(&self, policy: &Policy, token: &JoinToken) -> Result<Arc<KeptClaims>, JoinError> {
        match token {
            JoinToken::FromHandshake => {
                policy.verifier.recheck(&**self.claims, SystemTime::now())?;
                Ok(Arc::clone(&self.claims))
            }
            JoinToken::Own(token) => Ok(self.verify_token(policy, token)?),
        }
    }

    /// Whether the presence key is longer than the settings allow.
    fn has_long_key(&self, request: &JoinRequest) -> bool {
        let bytes_max = self.services.node.settings().presence.max_key_bytes.as_u64();
        request.presence_key.as_ref().is_some_and(|key| key.len() as u64 > bytes_max)
    }

    /// Whether the server and the tenant accept such joins now.
    pub(super) fn check_availability(&self, policy: &Policy, request: &JoinRequest) -> Result<(), JoinError> {
        if self.services.node.lifecycle.has_reached(LifecyclePhase::Draining) {
            return Err(JoinError::of(Code::RealtimeRestarting));
        }
        match policy.status {
            TenantStatus::Open => {}
            TenantStatus::Suspended => return Err(JoinError::of(Code::RealtimeDisabledForTenant)),
            TenantStatus::Removed => return Err(TENANT_NOT_FOUND),
        }
        if policy.private_only() && request.private == Private::No {
            return Err(JoinError::of(Code::PrivateOnly));
        }
        Ok(())
    }
}

/// Whether a join asks for something that only a tenant's database has.
fn needs_database(request: &JoinRequest) -> bool {
    !request.postgres_changes.is_empty() || request.replication_ready
}
