//! Sources of tenant specifications: the configuration, and others that are added while the server runs.

use futures_util::future::BoxFuture;

use super::{TenantOrigin, TenantSpec};

/// A source of tenants beside the configuration. It announces changes with [`Registry::put`](super::Registry::put) and
/// [`Registry::remove`](super::Registry::remove).
pub trait TenantSource: Send + Sync {
    /// The specification of the tenant `id` (in lower case), if this source has it.
    ///
    /// # Errors
    /// When that cannot be found out now. Nothing is remembered then: the next request asks again.
    ///
    /// Called for requests that name a tenant which the registry does not have. The result is registered as by `put`;
    /// one that the source removes meanwhile is not. Clients choose the names before they are authenticated, so the
    /// registry bounds the wait and the number of concurrent lookups, and looks a name up once for all requests that wait for it.
    /// It does not remember unknown names: a source for which a lookup is costly does, and says so by `expects`.
    fn resolve<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<TenantSpec>, SourceUnavailable>>;

    /// What the source knows about `id` (in lower case) without a lookup. Does not wait.
    fn expects(&self, _id: &str) -> Expectation {
        Expectation::Unclear
    }
}

/// What a source knows about a tenant without a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expectation {
    /// There is none. It is not looked up.
    Absent,
    /// It is not known yet which tenants there are: a lookup waits for that.
    Unread,
    /// It has to be looked up. The name may be made up, so the number of such lookups is bounded.
    Unclear,
    /// There is one. It is looked up, also while many made-up names are.
    Present,
}

/// Whether a source has a tenant cannot be found out now, but may be later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant cannot be looked up now")]
pub struct SourceUnavailable;

/// One source, by its precedence: where several specify the same tenant, the lowest applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(usize);

impl SourceId {
    /// The configuration. It comes first, because an operator who edits it expects the edit to apply.
    pub(super) const CONFIGURATION: Self = Self(0);

    /// Where the tenants of this source are specified.
    pub(super) fn origin(self) -> TenantOrigin {
        if self == Self::CONFIGURATION { TenantOrigin::Configuration } else { TenantOrigin::Store }
    }

    /// The source after `others` that were added before it.
    pub(super) fn after(others: usize) -> Self {
        Self(Self::CONFIGURATION.0 + 1 + others)
    }
}
