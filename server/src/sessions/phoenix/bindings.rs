//! Changes of tables that a join subscribes to: its reply returns each of them with an id
//! (docs/protocol/postgres-changes.md#subscribing).

use std::sync::Arc;

use serde_json::value::RawValue;
use wire::supabase::changes::{binding_echo, binding_ids};

use super::PhoenixSession;
use super::joined::JoinedTopic;
use crate::changes::{ChangeSubscription, ChangesRequest};

/// What a join subscribes to.
pub(super) struct Bindings(Vec<(Box<RawValue>, u32)>);

impl Bindings {
    pub(super) fn new(bindings: Vec<Box<RawValue>>) -> Self {
        let ids = binding_ids(&bindings);
        Self(bindings.into_iter().zip(ids).collect())
    }

    /// The response of the reply to the join.
    pub(super) fn response(&self) -> String {
        let echoes: Vec<String> = self.0.iter().map(|(binding, id)| binding_echo(binding, *id)).collect();
        format!(r#"{{"postgres_changes":[{}]}}"#, echoes.join(","))
    }
}

impl PhoenixSession {
    /// Subscribes a channel that has just been joined, if it asks for changes.
    pub(super) fn subscribe(
        &self,
        joined: &JoinedTopic,
        Bindings(bindings): Bindings,
        is_legacy: bool,
    ) -> Option<ChangeSubscription> {
        if bindings.is_empty() {
            return None;
        }
        let request = ChangesRequest {
            recipient: joined.membership.recipient(),
            confirmation: joined.membership.confirmation(),
            dialect: self.outbound.dialect,
            join_ref: joined.join_ref.clone(),
            topic: joined.membership.key().topic.clone(),
            is_legacy,
            bindings,
            claims: Arc::clone(joined.claims.shared()),
        };
        self.services.changes.subscribe(&self.tenant, request)
    }
}
