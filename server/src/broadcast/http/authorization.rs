//! Whether the sender of a request may send to a room: private ones are decided by the database of the tenant
//! (docs/protocol/private-rooms.md#http).

use std::sync::Arc;

use http::StatusCode;
use hub::{Privacy, RoomKey};
use tokio::time::timeout;

use super::Rejection;
use crate::auth::{
    AuthorizationError, Authorizer, Claims, Decision, Freshness, Question, QuestionTurns, traced,
};
use crate::node::{Node, UNAUTHORIZED};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::traces::{SpanName, TENANT, TOPIC, TraceSpan};
use crate::tenants::{Databases, Tenant};

/// The text for a tenant whose database cannot be asked.
pub(super) const NO_DATABASE: &str = "Tenant database unavailable";

/// The text for a policy that cannot be evaluated.
pub(super) const POLICY_ERROR: &str = "RLS policy error";
pub(super) const CANCELED: &str = "Query canceled";
pub(super) const NO_PARTITION: &str = "Missing messages partition";
pub(super) const FULL_DATABASE: &str = "Tenant database has too many connections";
pub(super) const FULL_POOL: &str = "Connection pool exhausted";

/// Decides who may send to private rooms.
pub struct Authorization {
    node: Arc<Node>,
    authorizer: Arc<dyn Authorizer>,
    databases: Arc<Databases>,
}

/// The sender of a request.
pub(super) struct Sender {
    pub(super) claims: Arc<Claims>,
    /// All headers of the request, as a JSON object.
    pub(super) headers: Arc<str>,
    pub(super) turns: QuestionTurns,
    /// Ends with the response.
    pub(super) span: TraceSpan,
}

impl Authorization {
    /// Decides by `authorizer`, which asks `databases`, within the time that the settings of `node` allow.
    pub fn new(node: Arc<Node>, authorizer: Arc<dyn Authorizer>, databases: Arc<Databases>) -> Self {
        Self { node, authorizer, databases }
    }

    /// Checks that `sender` may send to a room of its tenant. Reports why not.
    ///
    /// # Errors
    /// The response that says so.
    pub(super) async fn check(
        &self,
        tenant: &Arc<Tenant>,
        room: &RoomKey,
        sender: &Sender,
    ) -> Result<(), Rejection> {
        check_permissions(tenant, &room.topic, sender)?;
        if room.privacy == Privacy::Public {
            return Ok(());
        }
        self.databases.note_use(tenant);
        let Sender { claims, headers, turns, span } = sender;
        let question = Question { room, claims, headers, freshness: Freshness::Recent, turns };
        let rights = match self.authorizer.authorize(question) {
            Decision::Immediate(result) => result,
            Decision::Pending(work) => {
                let limit = self.node.settings().server.authorization_timeout;
                let traces = &self.node.traces;
                let mut asking = traces.below(span.context().as_ref(), SpanName::Authorization);
                asking.note(TENANT, &tenant.id);
                asking.note(TOPIC, &room.topic);
                let in_time = async {
                    let found = timeout(limit, work).await;
                    found.unwrap_or_else(|_elapsed| Err(AuthorizationError::undecided()))
                };
                traced(asking, in_time).await
            }
        };
        let (code, status, text) = match rights {
            Ok(rights) if rights.send_broadcasts => return Ok(()),
            Ok(_) => (Code::Unauthorized, StatusCode::FORBIDDEN, UNAUTHORIZED),
            Err(error) => refusal(&error),
        };
        tenant.reports.record(code.at(Scope::Http), text);
        Err(Rejection::message(status, code, text))
    }
}

/// Checks that the token of `sender` permits it to send to the topic. Reports if it does not.
///
/// # Errors
/// The response that says so.
pub(super) fn check_permissions(tenant: &Tenant, topic: &str, sender: &Sender) -> Result<(), Rejection> {
    if tenant.policy().permitted(&sender.claims, topic).send_broadcasts {
        return Ok(());
    }
    tenant.reports.record(Code::Unauthorized.at(Scope::Http), UNAUTHORIZED);
    Err(Rejection::message(StatusCode::FORBIDDEN, Code::Unauthorized, UNAUTHORIZED))
}

/// The response for a sender whose rights cannot be found out.
fn refusal(error: &AuthorizationError) -> (Code, StatusCode, &'static str) {
    let (status, text) = match error.code {
        Code::RlsPolicyError => (StatusCode::UNPROCESSABLE_ENTITY, POLICY_ERROR),
        Code::QueryCanceled => (StatusCode::UNPROCESSABLE_ENTITY, CANCELED),
        Code::MissingPartition => (StatusCode::UNPROCESSABLE_ENTITY, NO_PARTITION),
        Code::DatabaseLackOfConnections => (StatusCode::UNPROCESSABLE_ENTITY, FULL_DATABASE),
        Code::IncreaseConnectionPool => (StatusCode::TOO_MANY_REQUESTS, FULL_POOL),
        Code::MemoryLimitReached => (StatusCode::TOO_MANY_REQUESTS, Code::MemoryLimitReached.text()),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, NO_DATABASE),
    };
    (error.code, status, text)
}
