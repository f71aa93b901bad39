//! Following the tenant's policy while connected: the server rings, and what no longer holds ends.
//!
//! Nothing of this waits for the client to say something. What is only asked at a join or for a message
//! (limits, whether presence is on) is looked up there and is not here.

use hub::{Disconnect, Privacy};
use wire::phoenix::{Ref, Status};

use super::PhoenixSession;
use super::outbound::Outbound;
use crate::sessions::Session;
use crate::telemetry::codes::{Code, Scope};

/// What every room is told before its connection is closed from outside
/// (docs/protocol/channels.md#system-messages).
const DISCONNECT: &str = "Server requested disconnect";

impl PhoenixSession {
    /// Looks at the policy if it is another than last time, and ends what it no longer allows.
    pub(super) fn follow_policy(&mut self) {
        let policy = self.tenant.policy();
        if policy.generation == self.generation {
            return;
        }
        self.generation = policy.generation;
        if let Some(disconnect) = policy.disconnect(self.admitted) {
            return self.go(disconnect);
        }
        self.end_outlived();
        if policy.private_only() {
            self.end_public();
        }
        self.reschedule();
    }

    /// Says so in every room, leaves them all, and closes the connection.
    fn go(&mut self, goodbye: &Disconnect) {
        self.tenant.reports.record(self.report(Code::ChannelShutdown, Scope::Channel), &goodbye.reason);
        self.flush();
        self.joining = None;
        for (topic, joined) in self.topics.drain() {
            // Ok, as upstream says it: an error makes some SDKs give up the channel, instead of coming back.
            self.outbound.system(&joined.join_ref, &topic, "system", Status::Ok, DISCONNECT);
        }
        self.outbound.outbox.disconnect(goodbye.clone());
    }

    /// Ends every public channel.
    fn end_public(&mut self) {
        let public = self.topics.iter().filter(|(_, joined)| joined.privacy == Privacy::Public);
        let topics: Vec<Box<str>> = public.map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            self.end(&topic, Code::PrivateOnly.text(), Outbound::closed);
        }
    }

    /// Ends a channel: says why, then the last word, which tells clients whether to come again.
    pub(super) fn end(&mut self, topic: &str, why: &str, last_word: fn(&Outbound, &Ref<'_>, &str)) {
        let Some(joined) = self.topics.remove(topic) else { return };
        let claims = &joined.claims;
        let report = self.report(Code::ChannelShutdown, Scope::Channel);
        self.tenant.reports.record(report.by(claims.sub.as_deref(), claims.expires_at), why);
        let join_ref = joined.join_ref.clone();
        drop(joined);
        self.outbound.system(&join_ref, topic, "system", Status::Error, why);
        last_word(&self.outbound, &join_ref, topic);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::{Duration, SystemTime};

    use hub::{Burst, Turn};
    use secrecy::SecretString;
    use serde_json::Map;
    use settings::Settings;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use wire::phoenix::V2;

    use super::*;
    use crate::auth::jwks::JwksSources;
    use crate::auth::{PublicRooms, sign};
    use crate::bus::ClusterLink;
    use crate::close_reason::CloseReason;
    use crate::node::{Lifecycle, Node};
    use crate::sessions::{Admission, ClientContext, Services};
    use crate::telemetry::request_context::RequestContext;

    /// The close code that a client accepted by `admission` receives at once, if it is closed.
    fn close_code(services: &Arc<Services>, admission: Admission) -> Option<u16> {
        let context = Arc::new(RequestContext::new("a request", Ipv4Addr::LOCALHOST.into()));
        let client = ClientContext::new(services, V2, admission, context);
        let session = PhoenixSession::new(Arc::clone(services), client);
        match session.outbox().take(&mut Burst::default(), Waker::noop()) {
            Turn::Disconnect(disconnect) => Some(disconnect.code),
            _ => None,
        }
    }

    // The notification may come after the handshake was accepted and before the connection was registered.
    #[test]
    fn a_client_that_connects_while_the_policy_changes_is_closed_too() {
        let secret = SecretString::from("a secret");
        let mut settings = Settings::default();
        settings.auth.jwt_secret = Some(secret.clone());
        let tasks = TaskTracker::new();
        let sources = JwksSources::new(tasks.clone(), CancellationToken::new());
        let node = Node::new(settings, sources, ClusterLink::alone(), Lifecycle::default(), Vec::new())
            .expect("a secret is all it takes");
        let services =
            Arc::new(Services { node: Arc::clone(&node), authorizer: Arc::new(PublicRooms), tasks });
        let tenant = Arc::clone(node.tenants.default_tenant());
        let accepted = || {
            let (policy, now) = (tenant.policy(), SystemTime::now());
            let token = sign(&secret, "anon", None, Map::new(), now, Duration::from_secs(60));
            let claims = policy.verifier.verify(&token, now).expect("a good token");
            Admission { tenant: Arc::clone(&tenant), generation: policy.generation, claims }
        };
        let before = accepted();
        node.tenants.disconnect_clients("default", CloseReason::Disconnected.into());
        let after = accepted();
        assert_eq!(close_code(&services, before), Some(1012));
        assert_eq!(close_code(&services, after), None, "later clients are accepted");
    }
}
