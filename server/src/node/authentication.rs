//! Who sends a request to a tenant: the tenant that it names, and the claims of its token.
//!
//! The same for handshakes and for HTTP. Until the token is verified, the caller uses nothing of the tenant and of the
//! node beside its socket: no connection, no rate. What it may use is bounded by its address.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Uri};

use super::Node;
use crate::auth::jwks::TooManyWaiting;
use crate::auth::{Claims, TokenError};
use crate::tenants::{Policy, SourceUnavailable, Tenant, TenantStatus};

/// A caller with a valid token.
pub struct Authenticated {
    /// The tenant that the request names.
    pub tenant: Arc<Tenant>,
    /// What applied to it when the token was verified.
    pub policy: Arc<Policy>,
    /// The claims of the token.
    pub claims: Claims,
}

/// A caller who is refused.
pub struct NotAuthenticated {
    /// The tenant that the request names, if there is such a tenant.
    pub tenant: Option<Arc<Tenant>>,
    /// Why.
    pub error: AuthenticationError,
}

/// Why a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// Its address is over the rate of callers without a valid token. Nothing else was examined.
    #[error("too many requests without a valid token from this address")]
    TooManyFromAddress,
    /// There is no such tenant.
    #[error("tenant not found")]
    UnknownTenant,
    /// Whether there is such a tenant cannot be found out now.
    #[error(transparent)]
    TenantUnavailable(#[from] SourceUnavailable),
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The key of the token may be among those that are being fetched.
    #[error(transparent)]
    TooManyWaiting(#[from] TooManyWaiting),
}

impl Node {
    /// Finds the tenant of a request from `address`, and verifies `token`.
    ///
    /// # Errors
    /// The first check that fails, in the order of [`AuthenticationError`].
    pub async fn authenticate(
        &self,
        (headers, uri): (&HeaderMap, &Uri),
        token: Option<Cow<'_, str>>,
        address: IpAddr,
    ) -> Result<Authenticated, NotAuthenticated> {
        let network = self.client_network(address);
        if !self.unverified.may_call(network, token.as_deref()) {
            return Err(NotAuthenticated { tenant: None, error: AuthenticationError::TooManyFromAddress });
        }
        let tenant = match self.tenant_for_request(headers, uri).await {
            Ok(Some(tenant)) => tenant,
            Ok(None) => {
                self.unverified.count(network);
                return Err(NotAuthenticated { tenant: None, error: AuthenticationError::UnknownTenant });
            }
            Err(unavailable) => {
                self.unverified.count(network);
                return Err(NotAuthenticated { tenant: None, error: unavailable.into() });
            }
        };
        let policy = tenant.policy();
        let verified = match policy.status {
            TenantStatus::Open => self.verify(&policy, token.as_deref(), network).await,
            TenantStatus::Suspended => Err(AuthenticationError::Suspended),
            TenantStatus::Removed => Err(AuthenticationError::UnknownTenant),
        };
        match verified {
            Ok(claims) => Ok(Authenticated { tenant, policy, claims }),
            Err(error) => Err(NotAuthenticated { tenant: Some(tenant), error }),
        }
    }

    async fn verify(
        &self,
        policy: &Policy,
        token: Option<&str>,
        network: Option<IpAddr>,
    ) -> Result<Claims, AuthenticationError> {
        let result = match token {
            Some(token) => policy.verifier.verify_fetching(token, SystemTime::now(), network).await?,
            None => Err(TokenError::Missing),
        };
        self.unverified.count_result(network, &result);
        Ok(result?)
    }
}
