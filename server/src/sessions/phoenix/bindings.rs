//! Changes of tables that a join subscribes to: its reply returns each of them with an id
//! (docs/protocol/postgres-changes.md#subscribing).

use std::sync::Arc;

use hub::Membership;
use serde_json::value::RawValue;
use wire::phoenix::Ref;
use wire::supabase::changes::{binding_echo, binding_ids};

use super::PhoenixSession;
use super::joined::JoinedTopic;
use crate::auth::Claims;
use crate::changes::{ChangeSubscription, ChangesRequest};

/// What a join subscribes to.
#[derive(Clone)]
pub(super) struct Bindings(Vec<(Box<RawValue>, u32)>);

impl Bindings {
    pub(super) fn new(bindings: Vec<Box<RawValue>>) -> Self {
        let ids = binding_ids(&bindings);
        Self(bindings.into_iter().zip(ids).collect())
    }

    /// Whether it subscribes to nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        bindings: Bindings,
        is_legacy: bool,
    ) -> Option<ChangeSubscription> {
        if bindings.is_empty() {
            return None;
        }
        let JoinedTopic { membership, join_ref, claims, .. } = joined;
        let request = self.changes_request(membership, (join_ref.clone(), claims.shared()), bindings);
        self.services.changes.subscribe(&self.tenant, ChangesRequest { is_legacy, ..request })
    }

    /// What a member subscribes with.
    pub(super) fn changes_request(
        &self,
        membership: &Membership,
        (join_ref, claims): (Ref<'static>, &Arc<Claims>),
        Bindings(bindings): Bindings,
    ) -> ChangesRequest {
        ChangesRequest {
            recipient: membership.recipient(),
            confirmation: membership.confirmation(),
            dialect: self.outbound.dialect,
            join_ref,
            topic: membership.key().topic.clone(),
            is_legacy: false,
            bindings,
            claims: Arc::clone(claims),
        }
    }
}
