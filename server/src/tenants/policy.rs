//! What counts for a tenant at the moment: exchanged as a whole when its settings change.
//!
//! Every policy has a generation, one above the last. A connection remembers the one it has seen, so that
//! one comparison tells it whether to look again, and the one it was admitted under, so that a farewell
//! reaches those who were there before it and nobody else.

use std::num::NonZeroUsize;
use std::sync::Arc;

use hub::Disconnect;

use crate::auth::Verifier;
use crate::auth::jwks::JwksSources;
use crate::close_reason::CloseReason;
use crate::telemetry::metrics::TenantMetrics;
use crate::telemetry::reports::Reports;

/// Whether a tenant takes clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantStatus {
    /// It does.
    Open,
    /// Not until its settings say so again.
    Suspended,
    /// It was taken out of the settings. Only those who were connected can still see it.
    Removed,
}

/// What the settings say about a tenant, with what other sections decide where it says nothing.
#[derive(Clone, PartialEq)]
pub(super) struct TenantSpec {
    pub(super) tenant: settings::Tenant,
    /// All connections this node may have, and so all users of one tenant.
    pub(super) everyone: NonZeroUsize,
}

/// What counts for a tenant at the moment.
pub struct Policy {
    /// Rises by one with each change.
    pub generation: u64,
    /// Whether it takes clients.
    pub status: TenantStatus,
    /// Believes or refuses the tokens of its users.
    pub verifier: Arc<Verifier>,
    spec: Arc<TenantSpec>,
    farewell: Option<DisconnectBefore>,
}

/// The last word to everybody admitted before a generation.
#[derive(Clone)]
struct DisconnectBefore {
    before: u64,
    goodbye: Disconnect,
}

impl Policy {
    /// The policy of a new tenant.
    pub(super) fn first(
        spec: TenantSpec,
        sources: &JwksSources,
        metrics: &TenantMetrics,
        reports: &Reports,
    ) -> Self {
        let auth = &spec.tenant.auth;
        let fetched = sources.source(auth, None, metrics, reports);
        let verifier = Arc::new(Verifier::new(auth, fetched).remarking(reports));
        Self { generation: 0, status: spec.status(), verifier, spec: Arc::new(spec), farewell: None }
    }

    /// Whether public rooms are refused.
    pub fn private_only(&self) -> bool {
        self.spec.tenant.private_only
    }

    /// Whether a join that says nothing about presence has it.
    pub fn presence_enabled(&self) -> bool {
        self.spec.tenant.presence_enabled.unwrap_or_default()
    }

    /// Region of its database, if it is known.
    pub fn region(&self) -> Option<&str> {
        self.spec.tenant.region.as_deref()
    }

    /// What is to be said to a connection that was admitted under generation `admitted`, if it has to go.
    pub fn farewell(&self, admitted: u64) -> Option<&Disconnect> {
        self.farewell.as_ref().filter(|farewell| admitted < farewell.before).map(|farewell| &farewell.goodbye)
    }

    /// Whether it is what `spec` lead to.
    pub(super) fn is_by(&self, spec: &TenantSpec) -> bool {
        *self.spec == *spec
    }

    /// The next one, by other terms. Keys that stay are not read again.
    pub(super) fn followed_by(
        &self,
        spec: TenantSpec,
        sources: &JwksSources,
        metrics: &TenantMetrics,
        reports: &Reports,
    ) -> Self {
        let auth = &spec.tenant.auth;
        let verifier = if self.spec.tenant.auth == *auth {
            Arc::clone(&self.verifier)
        } else {
            let fetched = sources.source(auth, self.verifier.fetched(), metrics, reports);
            Arc::new(Verifier::new(auth, fetched).remarking(reports))
        };
        let (status, spec) = (spec.status(), Arc::new(spec));
        let next = Self { status, verifier, spec, ..self.next() };
        match status {
            TenantStatus::Open | TenantStatus::Removed => next,
            TenantStatus::Suspended => next.saying(CloseReason::Suspended.into()),
        }
    }

    /// The last one.
    pub(super) fn removed(&self) -> Self {
        let last = Self { status: TenantStatus::Removed, ..self.next() };
        last.saying(CloseReason::Removed.into())
    }

    /// The same, to be looked at again.
    pub(super) fn renewed(&self) -> Self {
        self.next()
    }

    /// The same for newcomers, and `goodbye` for everybody else.
    pub(super) fn with_farewell(&self, goodbye: Disconnect) -> Self {
        self.next().saying(goodbye)
    }

    fn next(&self) -> Self {
        Self {
            generation: self.generation + 1,
            status: self.status,
            verifier: Arc::clone(&self.verifier),
            spec: Arc::clone(&self.spec),
            // Stays: some may not have heard it yet.
            farewell: self.farewell.clone(),
        }
    }

    fn saying(self, goodbye: Disconnect) -> Self {
        Self { farewell: Some(DisconnectBefore { before: self.generation, goodbye }), ..self }
    }
}

impl TenantSpec {
    fn status(&self) -> TenantStatus {
        if self.tenant.suspended { TenantStatus::Suspended } else { TenantStatus::Open }
    }
}
