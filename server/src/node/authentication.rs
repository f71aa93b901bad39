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
use crate::auth::{TokenClaims, TokenError};
use crate::tenants::{Policy, SourceUnavailable, Tenant, TenantStatus};

/// A caller with a valid token.
pub struct Authenticated<C> {
    /// The tenant that the request names.
    pub tenant: Arc<Tenant>,
    /// What applied to it when the token was verified.
    pub policy: Arc<Policy>,
    /// The claims of the token.
    pub claims: C,
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

impl AuthenticationError {
    /// Whether the same token may be accepted a little later.
    pub fn passes(&self) -> bool {
        match self {
            Self::TooManyFromAddress | Self::TenantUnavailable(_) | Self::TooManyWaiting(_) => true,
            Self::UnknownTenant | Self::Suspended | Self::Token(_) => false,
        }
    }
}

impl Node {
    /// Finds the tenant of a request from `address`, and verifies `token`.
    ///
    /// # Errors
    /// The first check that fails, in the order of [`AuthenticationError`].
    pub async fn authenticate<C: TokenClaims>(
        &self,
        request: (&HeaderMap, &Uri),
        token: Option<Cow<'_, str>>,
        address: IpAddr,
    ) -> Result<Authenticated<C>, NotAuthenticated> {
        let (tenant, policy) = self.open_tenant(request, token.as_deref(), address).await?;
        match self.verify(&policy, token.as_deref(), address).await {
            Ok(claims) => Ok(Authenticated { tenant, policy, claims }),
            Err(error) => Err(NotAuthenticated { tenant: Some(tenant), error }),
        }
    }

    /// Verifies a token that a connected client of `tenant` sends from `address`.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub async fn authenticate_connected<C: TokenClaims>(
        &self,
        tenant: &Arc<Tenant>,
        token: &str,
        address: IpAddr,
    ) -> Result<Authenticated<C>, AuthenticationError> {
        if !self.unverified.may_call(self.client_network(address), Some(token)) {
            return Err(AuthenticationError::TooManyFromAddress);
        }
        let policy = tenant.policy();
        check_open(&policy)?;
        let claims = self.verify(&policy, Some(token), address).await?;
        Ok(Authenticated { tenant: Arc::clone(tenant), policy, claims })
    }

    /// Finds the tenant of a request from `address`, which accepts clients. Its `token` is not verified, but known tokens are examined
    /// also when the address is over its rate.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub async fn open_tenant(
        &self,
        (headers, uri): (&HeaderMap, &Uri),
        token: Option<&str>,
        address: IpAddr,
    ) -> Result<(Arc<Tenant>, Arc<Policy>), NotAuthenticated> {
        let network = self.client_network(address);
        if !self.unverified.may_call(network, token) {
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
        match check_open(&policy) {
            Ok(()) => Ok((tenant, policy)),
            Err(error) => Err(NotAuthenticated { tenant: Some(tenant), error }),
        }
    }

    /// Verifies the token of a request from `address`, by the policy of its tenant.
    ///
    /// # Errors
    /// If it is missing or not accepted, or if it would have to wait for its key, and too many wait.
    pub async fn verify<C: TokenClaims>(
        &self,
        policy: &Policy,
        token: Option<&str>,
        address: IpAddr,
    ) -> Result<C, AuthenticationError> {
        let network = self.client_network(address);
        let result = match token {
            Some(token) => policy.verifier.verify_fetching(token, SystemTime::now(), network).await?,
            None => Err(TokenError::Missing),
        };
        self.unverified.count_result(network, &result);
        Ok(result?)
    }
}

/// Checks that a tenant accepts clients.
fn check_open(policy: &Policy) -> Result<(), AuthenticationError> {
    match policy.status {
        TenantStatus::Open => Ok(()),
        TenantStatus::Suspended => Err(AuthenticationError::Suspended),
        TenantStatus::Removed => Err(AuthenticationError::UnknownTenant),
    }
}
