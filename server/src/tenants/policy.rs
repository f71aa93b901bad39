//! What applies to a tenant at the moment: replaced as a whole when its specification changes.
//!
//! Every policy has a generation, one above that of its predecessor. A connection remembers the generation it has seen
//! last, so that one comparison tells it whether to look again, and the one under which it was accepted, so that a
//! [`DisconnectBefore`] reaches the connections that were there before it and no others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hub::Disconnect;
use serde_json::{Map, Value};
use settings::History;

use super::spec::{DatabaseSpec, EffectiveSpec, TenantOrigin};
use crate::auth::jwks::JwksSources;
use crate::auth::{self, Claims, DocumentRules, Rights, Verifier};
use crate::close_reason::CloseReason;
use crate::telemetry::metrics::LazyTenantMetrics;
use crate::telemetry::reports::Reports;

/// Whether a tenant accepts clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantStatus {
    /// It accepts them.
    Open,
    /// It refuses them until its specification opens it again.
    Suspended,
    /// No source specifies it any more. Only connections accepted before still refer to it.
    Removed,
}

impl TenantStatus {
    /// The status that a source specifies.
    fn of(spec: &EffectiveSpec) -> Self {
        if spec.spec.settings.suspended { Self::Suspended } else { Self::Open }
    }
}

/// What applies to a tenant at the moment.
pub struct Policy {
    /// Rises by one with each change.
    pub generation: u64,
    /// Whether it accepts clients.
    pub status: TenantStatus,
    /// Verifies the tokens of its users.
    pub verifier: Arc<Verifier>,
    /// How often messages of its database may have been lost.
    pub database_gaps: u64,
    spec: EffectiveSpec,
    disconnect: Option<DisconnectBefore>,
}

/// Closes all connections that were accepted before a generation.
#[derive(Clone)]
struct DisconnectBefore {
    generation: u64,
    disconnect: Disconnect,
}

impl Policy {
    /// The policy of a new tenant.
    pub(super) fn first(
        spec: EffectiveSpec,
        jwks: &JwksSources,
        metrics: &LazyTenantMetrics,
        reports: &Reports,
    ) -> Self {
        let auth = &spec.spec.settings.auth;
        let fetched = jwks.source(auth, None, metrics, reports);
        let verifier = Arc::new(Verifier::new(auth, fetched).reporting_to(reports));
        let status = TenantStatus::of(&spec);
        Self { generation: 0, status, verifier, database_gaps: 0, spec, disconnect: None }
    }

    /// Where it is specified.
    pub fn origin(&self) -> TenantOrigin {
        self.spec.origin
    }

    /// Whether public rooms are refused.
    pub fn private_only(&self) -> bool {
        self.spec.spec.settings.private_only
    }

    /// Whether tokens give only the rooms that they list.
    pub fn requires_permissions(&self) -> bool {
        self.spec.spec.settings.auth.require_permissions
    }

    /// What tokens permit in rooms and documents where they leave it open.
    pub fn document_rules(&self) -> DocumentRules {
        DocumentRules {
            anon_may_write: self.spec.anon_may_write,
            require_permissions: self.requires_permissions(),
        }
    }

    /// The rights that a token with `claims` gives in `room`, apart from what the room itself requires.
    pub fn permitted(&self, claims: &Claims, room: &str) -> Rights {
        Rights::of(claims.room_access(room, &self.document_rules()))
    }

    /// Signs a token for rooms and documents, valid from now for `expires_in`; `None` if the tenant has no secret: its identity provider
    /// signs its tokens.
    pub fn sign_for_rooms(
        &self,
        sub: &str,
        claims: Map<String, Value>,
        expires_in: Duration,
    ) -> Option<String> {
        auth::sign_for_rooms(&self.spec.spec.settings.auth, sub, claims, SystemTime::now(), expires_in)
    }

    /// Whether a join that does not mention presence has it.
    pub fn presence_enabled(&self) -> bool {
        self.spec.presence_enabled
    }

    /// Which of its broadcasts are kept.
    pub fn history(&self) -> &Arc<History> {
        &self.spec.history
    }

    /// Region of its database, if it is known.
    pub fn region(&self) -> Option<&str> {
        self.spec.spec.settings.region.as_deref()
    }

    /// Its PostgreSQL, if it has one.
    pub fn database(&self) -> Option<&Arc<DatabaseSpec>> {
        self.spec.database.as_ref()
    }

    /// With which close code and reason a connection accepted under generation `accepted` is closed, if it is.
    pub fn disconnect(&self, accepted: u64) -> Option<&Disconnect> {
        let disconnect = self.disconnect.as_ref().filter(|before| accepted < before.generation)?;
        Some(&disconnect.disconnect)
    }

    /// Whether it is the policy of `spec`.
    pub(super) fn is_of(&self, spec: &EffectiveSpec) -> bool {
        self.spec == *spec
    }

    /// The next policy, of another specification. Keys that stay are not fetched again.
    pub(super) fn reconfigured(
        &self,
        spec: EffectiveSpec,
        jwks: &JwksSources,
        metrics: &LazyTenantMetrics,
        reports: &Reports,
    ) -> Self {
        let auth = &spec.spec.settings.auth;
        let verifier = if self.spec.spec.settings.auth == *auth {
            Arc::clone(&self.verifier)
        } else {
            let fetched = jwks.source(auth, self.verifier.fetched(), metrics, reports);
            Arc::new(Verifier::new(auth, fetched).reporting_to(reports))
        };
        let next = Self { status: TenantStatus::of(&spec), verifier, spec, ..self.next() };
        match next.status {
            TenantStatus::Open | TenantStatus::Removed => next,
            TenantStatus::Suspended => next.disconnecting(CloseReason::Suspended.into()),
        }
    }

    /// The last policy.
    pub(super) fn removed(&self) -> Self {
        let last = Self { status: TenantStatus::Removed, ..self.next() };
        last.disconnecting(CloseReason::Removed.into())
    }

    /// The same rules under the next generation, so that connections look at them again.
    pub(super) fn renewed(&self) -> Self {
        self.next()
    }

    /// The same rules, after messages of the database may have been lost.
    pub(super) fn after_gap(&self) -> Self {
        Self { database_gaps: self.database_gaps + 1, ..self.next() }
    }

    /// The same rules for new connections; all others are closed.
    pub(super) fn with_disconnect(&self, disconnect: Disconnect) -> Self {
        self.next().disconnecting(disconnect)
    }

    fn next(&self) -> Self {
        Self {
            generation: self.generation + 1,
            status: self.status,
            verifier: Arc::clone(&self.verifier),
            database_gaps: self.database_gaps,
            spec: self.spec.clone(),
            // Stays: some connections may not have seen it yet.
            disconnect: self.disconnect.clone(),
        }
    }

    fn disconnecting(self, disconnect: Disconnect) -> Self {
        Self { disconnect: Some(DisconnectBefore { generation: self.generation, disconnect }), ..self }
    }
}
