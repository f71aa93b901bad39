//! Changes of the tenant's policy while a client is connected: the connection is notified, and what the new policy does
//! not allow ends.
//!
//! None of this waits for a message of the client. What matters only at a join or for a message (limits, whether presence
//! is on) is looked up there.

use hub::{Disconnect, Privacy};
use wire::phoenix::{Ref, Status};

use super::PhoenixSession;
use super::outbound::Outbound;
use crate::sessions::Session;
use crate::telemetry::codes::{Code, Scope};

/// What every channel receives before the server closes its connection
/// (docs/protocol/channels.md#system-messages).
const DISCONNECT: &str = "Server requested disconnect";

/// What channels receive when the log of the database was not read for a time (docs/protocol/database-broadcasts.md#gaps).
pub(super) const GAP: &str = "Messages from the database may have been missed";

impl PhoenixSession {
    /// Applies the policy if it has changed since the last time: ends what it no longer allows.
    pub(super) fn apply_policy(&mut self) {
        let policy = self.tenant.policy();
        if policy.generation == self.applied_generation {
            return;
        }
        self.applied_generation = policy.generation;
        if let Some(disconnect) = policy.disconnect(self.accepted_generation) {
            return self.disconnect(disconnect);
        }
        self.recheck_tokens();
        self.rights_due = None;
        if self.topics.values().any(|joined| joined.privacy == Privacy::Private) {
            self.watch_rights(Privacy::Private);
        }
        if std::mem::replace(&mut self.database_gaps, policy.database_gaps) != policy.database_gaps {
            self.notice_gap();
        }
        if policy.requires_permissions() {
            self.apply_permissions();
        }
        if policy.private_only() {
            self.end_public();
        }
        self.reschedule();
    }

    /// Announces the disconnect in every channel, leaves all rooms and closes the connection.
    fn disconnect(&mut self, disconnect: &Disconnect) {
        self.tenant.reports.record(self.report(Code::ChannelShutdown, Scope::Channel), &disconnect.reason);
        self.flush();
        self.joining = None;
        for (topic, joined) in self.topics.drain() {
            // Status ok, as upstream sends it: after an error some SDKs do not join again.
            self.outbound.system(&joined.join_ref, &topic, "system", Status::Ok, DISCONNECT);
        }
        self.outbound.outbox.disconnect(disconnect.clone());
    }

    /// Notifies every channel that messages of the database may have been lost. Of status ok, because the channels stay.
    fn notice_gap(&self) {
        // One whose join is not answered yet misses nothing that it could have received.
        for (topic, joined) in self.topics.iter().filter(|(_, joined)| joined.membership.is_confirmed()) {
            self.outbound.system(&joined.join_ref, topic, "system", Status::Ok, GAP);
        }
    }

    /// Ends every public channel.
    fn end_public(&mut self) {
        let public = self.topics.iter().filter(|(_, joined)| joined.privacy == Privacy::Public);
        let topics: Vec<Box<str>> = public.map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            self.end(&topic, Code::PrivateOnly.text(), Outbound::closed);
        }
    }

    /// Ends a channel: sends the reason, then the final message, which tells clients whether to join again.
    pub(super) fn end(&mut self, topic: &str, reason: &str, send_final: fn(&Outbound, &Ref<'_>, &str)) {
        let Some(joined) = self.topics.remove(topic) else { return };
        let claims = &joined.claims;
        let report = self.report(Code::ChannelShutdown, Scope::Channel);
        self.tenant.reports.record(report.by(claims.sub.as_deref(), claims.expires_at), reason);
        let join_ref = joined.join_ref.clone();
        drop(joined);
        self.outbound.system(&join_ref, topic, "system", Status::Error, reason);
        send_final(&self.outbound, &join_ref, topic);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::{Duration, SystemTime};

    use hub::{Burst, NextAction};
    use secrecy::SecretString;
    use serde_json::Map;
    use settings::Settings;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use wire::phoenix::V2;

    use super::*;
    use crate::app::OpenedStore;
    use crate::auth::jwks::JwksSources;
    use crate::auth::{PublicRooms, sign};
    use crate::bus::ClusterLink;
    use crate::changes::PostgresChanges;
    use crate::close_reason::CloseReason;
    use crate::documents::Documents;
    use crate::node::{Lifecycle, Node, OpenFiles};
    use crate::sessions::{Admission, ClientContext, KeptClaims, KeptHeaders, Services};
    use crate::store::{EncryptionKeys, MemoryStore, TenantStore, WrittenForm};
    use crate::telemetry::request_context::RequestContext;
    use crate::tenants::Databases;

    /// The close code that a client accepted by `admission` receives at once, if it is closed.
    fn close_code(services: &Arc<Services>, accepted: (Admission, Arc<KeptClaims>)) -> Option<u16> {
        let (admission, claims) = accepted;
        let context = Arc::new(RequestContext::new("a request", Ipv4Addr::LOCALHOST.into()));
        let client = ClientContext::new(services, V2, admission, context);
        let session = PhoenixSession::new(Arc::clone(services), client, claims);
        match session.outbox().take(&mut Burst::default(), Waker::noop()) {
            NextAction::Disconnect(disconnect) => Some(disconnect.code),
            _ => None,
        }
    }

    // The notification may come after the handshake was accepted and before the connection was registered.
    #[tokio::test]
    async fn a_client_that_connects_while_the_policy_changes_is_closed_too() {
        let secret = SecretString::from("a secret");
        let mut settings = Settings::default();
        settings.auth.jwt_secret = Some(secret.clone());
        let tasks = TaskTracker::new();
        let sources = JwksSources::new(tasks.clone(), CancellationToken::new());
        let (link, lifecycle) = (ClusterLink::standalone(), Lifecycle::default());
        let keys = EncryptionKeys::new(None, None, WrittenForm::Current).expect("no key is no error");
        let store: (Arc<dyn TenantStore>, _) = (Arc::new(MemoryStore::default()), keys);
        let node = Node::new(settings, sources, link, lifecycle, Vec::new(), OpenFiles::default(), store)
            .expect("a secret is all it takes");
        let services = {
            let databases = Databases::new(tasks.clone(), CancellationToken::new());
            let authorizer = Arc::new(PublicRooms);
            let changes = PostgresChanges::new(&node, &databases, tasks.clone(), CancellationToken::new());
            let documents = Documents::new(&node, &OpenedStore::in_memory().documents, tasks.clone());
            Arc::new(Services { node: Arc::clone(&node), authorizer, databases, changes, documents, tasks })
        };
        let tenant = node.tenants.get("default").expect("it is configured");
        let accepted = || {
            let (policy, now) = (tenant.policy(), SystemTime::now());
            let token = sign(&secret, "anon", None, Map::new(), now, Duration::from_secs(60));
            let claims = policy.verifier.verify(&token, now).expect("a good token");
            let claims = KeptClaims::of_handshake(claims, &policy, &tenant.memory).expect("they are short");
            let headers = KeptHeaders::none();
            (Admission { tenant: Arc::clone(&tenant), generation: policy.generation, headers }, claims)
        };
        let before = accepted();
        node.tenants.disconnect_clients("default", CloseReason::Disconnected.into());
        let after = accepted();
        assert_eq!(close_code(&services, before), Some(1012));
        assert_eq!(close_code(&services, after), None, "later clients are accepted");
    }
}
