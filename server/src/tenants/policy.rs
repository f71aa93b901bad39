//! What counts for a tenant at the moment: exchanged as a whole when its settings change.
//!
//! Every policy has a generation, one above the last. A connection remembers the one it has seen, so that
//! one comparison tells it whether to look again, and the one it was admitted under, so that a farewell
//! reaches those who were there before it and nobody else.

use std::num::NonZeroUsize;
use std::sync::Arc;

use hub::Goodbye;

use crate::auth::Verifier;
use crate::auth::jwks::Sources;
use crate::telemetry::close_reasons::CloseReason;
use crate::telemetry::metrics::TenantMetrics;
use crate::telemetry::reports::Reports;

/// Whether a tenant takes clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Open,
    /// Not until its settings say so again.
    Suspended,
    /// It was taken out of the settings. Only those who were connected can still see it.
    Removed,
}

/// What the settings say about a tenant, with what other sections decide where it says nothing.
#[derive(Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) tenant: settings::Tenant,
    /// All connections this node may have, and so all users of one tenant.
    pub(super) everyone: NonZeroUsize,
}

/// What counts for a tenant at the moment.
pub struct Policy {
    /// Rises by one with each change.
    pub generation: u64,
    /// Whether it takes clients.
    pub standing: Standing,
    /// Believes or refuses the tokens of its users.
    pub verifier: Arc<Verifier>,
    terms: Arc<Terms>,
    farewell: Option<Farewell>,
}

/// The last word to everybody admitted before a generation.
#[derive(Clone)]
struct Farewell {
    before: u64,
    goodbye: Goodbye,
}

impl Policy {
    /// The policy of a new tenant.
    pub(super) fn first(terms: Terms, sources: &Sources, metrics: &TenantMetrics, reports: &Reports) -> Self {
        let auth = &terms.tenant.auth;
        let fetched = sources.source(auth, None, metrics, reports);
        let verifier = Arc::new(Verifier::new(auth, fetched).remarking(reports));
        Self { generation: 0, standing: terms.standing(), verifier, terms: Arc::new(terms), farewell: None }
    }

    /// Whether public rooms are refused.
    pub fn private_only(&self) -> bool {
        self.terms.tenant.private_only
    }

    /// Whether a join that says nothing about presence has it.
    pub fn presence_enabled(&self) -> bool {
        self.terms.tenant.presence_enabled.unwrap_or_default()
    }

    /// Region of its database, if it is known.
    pub fn region(&self) -> Option<&str> {
        self.terms.tenant.region.as_deref()
    }

    /// What is to be said to a connection that was admitted under generation `admitted`, if it has to go.
    pub fn farewell(&self, admitted: u64) -> Option<&Goodbye> {
        self.farewell.as_ref().filter(|farewell| admitted < farewell.before).map(|farewell| &farewell.goodbye)
    }

    /// Whether it is what `terms` lead to.
    pub(super) fn is_by(&self, terms: &Terms) -> bool {
        *self.terms == *terms
    }

    /// The next one, by other terms. Keys that stay are not read again.
    pub(super) fn followed_by(
        &self,
        terms: Terms,
        sources: &Sources,
        metrics: &TenantMetrics,
        reports: &Reports,
    ) -> Self {
        let auth = &terms.tenant.auth;
        let verifier = if self.terms.tenant.auth == *auth {
            Arc::clone(&self.verifier)
        } else {
            let fetched = sources.source(auth, self.verifier.fetched(), metrics, reports);
            Arc::new(Verifier::new(auth, fetched).remarking(reports))
        };
        let (standing, terms) = (terms.standing(), Arc::new(terms));
        let next = Self { standing, verifier, terms, ..self.next() };
        match standing {
            Standing::Open | Standing::Removed => next,
            Standing::Suspended => next.saying(CloseReason::Suspended.into()),
        }
    }

    /// The last one.
    pub(super) fn removed(&self) -> Self {
        let last = Self { standing: Standing::Removed, ..self.next() };
        last.saying(CloseReason::Removed.into())
    }

    /// The same, to be looked at again.
    pub(super) fn renewed(&self) -> Self {
        self.next()
    }

    /// The same for newcomers, and `goodbye` for everybody else.
    pub(super) fn with_farewell(&self, goodbye: Goodbye) -> Self {
        self.next().saying(goodbye)
    }

    fn next(&self) -> Self {
        Self {
            generation: self.generation + 1,
            standing: self.standing,
            verifier: Arc::clone(&self.verifier),
            terms: Arc::clone(&self.terms),
            // Stays: some may not have heard it yet.
            farewell: self.farewell.clone(),
        }
    }

    fn saying(self, goodbye: Goodbye) -> Self {
        Self { farewell: Some(Farewell { before: self.generation, goodbye }), ..self }
    }
}

impl Terms {
    fn standing(&self) -> Standing {
        if self.tenant.suspended { Standing::Suspended } else { Standing::Open }
    }
}
