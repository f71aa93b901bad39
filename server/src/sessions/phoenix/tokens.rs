//! Tokens while connected: refreshed by the client, rejected when they expire or their key is withdrawn
//! (docs/protocol/tokens.md#expiry).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wire::supabase::TokenRefresh;

use super::PhoenixSession;
use super::outbound::Outbound;
use super::rights::RecheckReason;
use crate::auth::{Claims, Fingerprint, NO_CHANNEL_MEMORY, TokenError};
use crate::sessions::KeptClaims;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Policy;

/// A token is checked again at least this often, however late it expires: the clock may be set meanwhile, and no timer
/// has to reach decades ahead.
const RECHECK: Duration = Duration::from_secs(300);

/// Why a channel is not joined, or keeps its token, when the memory of the tenant is used up.
pub(super) const OUT_OF_MEMORY: &str = NO_CHANNEL_MEMORY;

/// Why a token that a client sends while it is connected is not accepted.
pub(super) enum TokenRefusal {
    /// Too many have been sent, by this code. It was not examined.
    OverRate(Code),
    /// There is no memory for its claims.
    OutOfMemory,
    /// It is not valid.
    Token(TokenError),
}

impl From<TokenError> for TokenRefusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl PhoenixSession {
    /// The event `access_token`. Never answered; a refused token ends the channel.
    pub(super) fn refresh_token(&mut self, topic: &str, payload: &str) {
        let token = match TokenRefresh::parse(payload) {
            TokenRefresh::New(token) => token,
            // Signed out: the rights stay until the token expires.
            TokenRefresh::Unchanged => return,
            TokenRefresh::Unreadable => return self.unknown_event(),
        };
        let Some(joined) = self.topics.get(topic) else { return };
        if Fingerprint::of(&token) == joined.claims.fingerprint {
            return;
        }
        match self.verify_refresh(&token) {
            // The channel has a token, which ends it in time: clients of the same address have done nothing wrong.
            Err(TokenRefusal::OverRate(code)) => {
                self.tenant.reports.record(self.report(code, Scope::Channel), code.text());
            }
            Err(TokenRefusal::OutOfMemory) => {
                let report = self.report(Code::MemoryLimitReached, Scope::Channel);
                self.tenant.reports.record(report, OUT_OF_MEMORY);
            }
            Ok(claims) => {
                if let Some(joined) = self.topics.get_mut(topic) {
                    joined.claims = Arc::clone(&claims);
                    joined.changes.iter().for_each(|changes| changes.set_claims(claims.shared()));
                }
                self.tick_by(Some(self.recheck_deadline(&claims)));
                self.ask_rights(topic, RecheckReason::NewToken);
            }
            Err(TokenRefusal::Token(error)) => {
                self.end_for_token(topic, &error);
                self.watch_rooms();
            }
        }
    }

    /// Verifies a token that is to replace that of a channel. One that is new to this connection counts as a join: without
    /// a rate, valid tokens in turns would have signatures verified as fast as they arrive.
    fn verify_refresh(&self, token: &str) -> Result<Arc<KeptClaims>, TokenRefusal> {
        let policy = self.tenant.policy();
        if let Some(claims) = self.claims_of(Fingerprint::of(token)) {
            policy.verifier.recheck(&**claims, SystemTime::now())?;
            return Ok(claims);
        }
        let joins = &self.tenant.allowance.joins;
        if !joins.has_any(Instant::now()) {
            return Err(TokenRefusal::OverRate(Code::ClientJoinRateLimitReached));
        }
        let claims = self.verify_signature(&policy, token)?;
        let _was_left = joins.take(1, Instant::now());
        Ok(claims)
    }

    /// The claims of a token that the client sends with a join. The signature of one that this connection has already is
    /// not verified again: clients send the same token with every join, and to every channel.
    pub(super) fn verify_token(&self, policy: &Policy, token: &str) -> Result<Arc<KeptClaims>, TokenRefusal> {
        let Some(claims) = self.claims_of(Fingerprint::of(token)) else {
            return self.verify_signature(policy, token);
        };
        policy.verifier.recheck(&**claims, SystemTime::now())?;
        Ok(claims)
    }

    /// Verifies a token that is new to this connection. It counts towards the rate of its address if no key of the tenant
    /// has signed it; as a join of the tenant if one has, and the token is refused.
    fn verify_signature(&self, policy: &Policy, token: &str) -> Result<Arc<KeptClaims>, TokenRefusal> {
        let node = &self.services.node;
        let (callers, network) =
            (&node.unverified, node.client_network(self.outbound.context.client_address()));
        if !callers.may_call(network, Some(token)) {
            return Err(TokenRefusal::OverRate(Code::AddressRateLimitReached));
        }
        let result = policy.verifier.verify(token, SystemTime::now());
        callers.count_result(network, &result);
        if result.as_ref().is_err_and(TokenError::is_signed) {
            let _was_left = self.tenant.allowance.joins.take(1, Instant::now());
        }
        KeptClaims::of_channel(result?, policy, &self.tenant.memory).ok_or(TokenRefusal::OutOfMemory)
    }

    /// The claims of the token with this fingerprint, if it is that of the handshake or of a channel.
    fn claims_of(&self, token: Fingerprint) -> Option<Arc<KeptClaims>> {
        let of_channels = self.topics.values().map(|joined| &joined.claims);
        let mut all = std::iter::once(&self.claims).chain(of_channels);
        // Verified before the tenant had a database, they lack what its policies read.
        let is_whole =
            |claims: &KeptClaims| claims.payload.is_some() || self.tenant.policy().database().is_none();
        all.find(|claims| claims.fingerprint == token && is_whole(claims)).map(Arc::clone)
    }

    /// Ends every channel whose token has expired, or was signed with a key that was withdrawn. Clients join again with the
    /// token they have by then.
    pub(super) fn recheck_tokens(&mut self) {
        let (policy, now) = (self.tenant.policy(), SystemTime::now());
        let rejected: Vec<(Box<str>, TokenError)> = self
            .topics
            .iter()
            .filter_map(|(topic, joined)| {
                let error = policy.verifier.recheck(&**joined.claims, now).err()?;
                Some((topic.clone(), error))
            })
            .collect();
        for (topic, error) in rejected {
            self.end_for_token(&topic, &error);
        }
    }

    /// Ends a channel because of its token. If the token was valid once, or names a key that is being fetched, the client may
    /// join again; if it never was valid, the end is final.
    fn end_for_token(&mut self, topic: &str, error: &TokenError) {
        let may_be_valid = error.may_join_again() || self.tenant.policy().verifier.is_fetching_key_for(error);
        let send_final = if may_be_valid { Outbound::errored } else { Outbound::closed };
        self.end(topic, &error.refresh_text(), send_final);
    }

    /// When the first token has to be checked.
    pub(super) fn token_deadline(&self) -> Option<Instant> {
        // Compared as the tokens state it, without a look at the clock for each: a client may be in thousands of rooms.
        let first =
            self.topics.values().map(|joined| &joined.claims).min_by_key(|claims| claims.expires_at)?;
        Some(self.recheck_deadline(first))
    }

    /// When a token with `claims` has to be checked.
    pub(super) fn recheck_deadline(&self, claims: &Claims) -> Instant {
        let left = self.tenant.policy().verifier.time_left(claims, SystemTime::now());
        Instant::now() + left.min(RECHECK)
    }
}
