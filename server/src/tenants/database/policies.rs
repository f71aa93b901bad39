//! Who may do what in private rooms: the row level security policies of `realtime.messages` decide.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use hub::{MemoryCharge, MemoryKind, Privacy, TenantMemory};

use super::question::{PolicyQuestion, PolicyRights};
use super::shared_answers::QuestionKey;
use super::{DatabaseFailure, Databases, TenantDatabase};
use crate::auth::{AuthorizationError, Authorized, Authorizer, Decision, Freshness, Question, Rights};
use crate::telemetry::codes::{Code, Scope};

/// Headers that differ for each request, and so do not make two questions different: with them no answer could be shared.
/// Policies read them nevertheless.
const PER_REQUEST: [&str; 9] = [
    "x-request-id",
    "x-correlation-id",
    "x-amzn-trace-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-cloud-trace-context",
    "x-envoy-attempt-count",
];

/// Bytes that a question takes beside its texts: its tasks, and its key.
const FIXED_BYTES: usize = 1024;

/// Instead of a role: it would reset the session to that of the server.
const RESET_ROLE: &str = "none";

/// Asks the databases of tenants.
struct DatabasePolicies(Arc<Databases>);

/// Decides by the policies in `databases`.
pub fn database_authorizer(databases: &Arc<Databases>) -> Arc<dyn Authorizer> {
    Arc::new(DatabasePolicies(Arc::clone(databases)))
}

impl Authorizer for DatabasePolicies {
    fn authorize(&self, question: Question<'_>) -> Decision {
        let Question { room, claims, headers, freshness, turns } = question;
        if room.privacy == Privacy::Public {
            return Decision::Immediate(Ok(Rights::ALL));
        }
        // No text in PostgreSQL can have NUL: without it, it would be another topic, role or user.
        let has_nul = [&*room.topic, &*claims.role, claims.sub.as_deref().unwrap_or_default()]
            .iter()
            .any(|text| text.contains('\0'));
        if claims.role.eq_ignore_ascii_case(RESET_ROLE) || has_nul {
            return Decision::Immediate(Ok(Rights::NONE));
        }
        let unknown = || Decision::Immediate(Err(AuthorizationError::of(Code::UnableToConnectToProject)));
        let Some(database) = self.0.get(&room.tenant) else { return unknown() };
        // Its token was verified before the tenant had a database.
        let Some(payload) = &claims.payload else { return unknown() };
        let Some(charge) = charge(&database.tenant.memory, room.topic.len() + payload.len() + headers.len())
        else {
            return Decision::Immediate(Err(AuthorizationError::OUT_OF_MEMORY));
        };
        let key = QuestionKey::of([&room.topic, payload, &shared_headers(headers)]);
        let question = PolicyQuestion::new(&room.topic, claims, headers);
        // Rights that are found out at intervals have a connection of their own. In a turn, a client could delay by slow joins that
        // it loses some.
        let turn = (freshness == Freshness::Recent).then(|| turns.next_turn());
        Decision::Pending(
            async move {
                // Both are kept until the question is answered, also if the client does not wait for that: it would ask the next
                // one meanwhile.
                let turn = match turn {
                    Some(turn) => Some(turn.await),
                    None => None,
                };
                let kept = (turn, charge);
                let asked = Arc::clone(&database);
                let ask = || async move {
                    let answer = ask(asked, question, freshness).await;
                    drop(kept);
                    answer
                };
                database.answers.answer(key, freshness, ask).await
            }
            .boxed(),
        )
    }
}

/// Charges a question with texts of these bytes to the tenant, which it keeps while it waits for its turn and for a connection.
fn charge(memory: &Arc<TenantMemory>, bytes: usize) -> Option<MemoryCharge> {
    let charge = memory.try_charge(MemoryKind::Held, FIXED_BYTES + bytes);
    if charge.is_none() {
        memory.count_refusal(MemoryKind::Held);
    }
    charge
}

/// The headers that make a difference.
fn shared_headers(headers: &str) -> Box<str> {
    if headers == "{}" {
        return headers.into();
    }
    let Ok(mut object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(headers) else {
        return headers.into();
    };
    object.retain(|name, _| !PER_REQUEST.contains(&name.as_str()));
    serde_json::Value::Object(object).to_string().into()
}

async fn ask(database: Arc<TenantDatabase>, question: PolicyQuestion, freshness: Freshness) -> Authorized {
    let started = Instant::now();
    let mut answer = rights(&database, &question, freshness).await;
    if answer.as_ref().is_err_and(DatabaseFailure::is_away) {
        // After a restart of the database each pooled connection fails once. The question writes nothing, so it may be repeated,
        // when it was looked whether the database can be reached.
        answer = rights(&database, &question, freshness).await;
    }
    let answer = answer.map_err(AuthorizationError::from);
    database.questions.count(started, &answer, database.tenant.metrics.database());
    answer
}

async fn rights(
    database: &TenantDatabase,
    question: &PolicyQuestion,
    freshness: Freshness,
) -> Result<Rights, DatabaseFailure> {
    let connection = match freshness {
        Freshness::Recent => database.acquire().await?,
        Freshness::New => database.acquire_for_recheck().await?,
    };
    let found = database.ask(connection, async |connection| question.ask(connection).await).await?;
    let PolicyRights { rights, failed_writes } = found.map_err(|failure| database.note_failure(failure))?;
    for failure in failed_writes {
        database.reports().record(failure.code.at(Scope::Log), &failure.reason);
    }
    Ok(rights)
}
