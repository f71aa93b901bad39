//! What callers without a valid token may cause: a rate for each address, so that a node verifies a bounded number of
//! signatures for them.
//!
//! What counts is a token that no key of the tenant, or no secret of operators, has signed. One that has expired does not: its holder is a client of
//! the tenant, who may come with many others after an outage.
//!
//! One address may be a load balancer or a NAT with many clients behind it. So a token that was verified here before is
//! examined also when its address is over the rate: new tokens have to wait then, known clients do not.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Fingerprint, TokenClaims, TokenError};
use crate::addresses::AddressRates;

/// Tokens that are recognised; 64 KiB.
const VERIFIED_MAX: usize = 8_192;

/// Limits the callers without a valid token, by their address.
#[derive(Debug)]
pub struct UnverifiedCallers {
    rates: AddressRates,
    verified: VerifiedTokens,
}

impl UnverifiedCallers {
    /// Allows so many calls per second from one address, and ten seconds' worth at once.
    pub fn per_second(calls: u64) -> Self {
        Self { rates: AddressRates::per_second(calls), verified: VerifiedTokens::new() }
    }

    /// Changes the rate.
    pub fn set_rate(&self, calls: u64) {
        self.rates.set_rate(calls);
    }

    /// Whether a call with `token` from `network` is to be examined; `None` has no limit.
    pub fn may_call(&self, network: Option<IpAddr>, token: Option<&str>) -> bool {
        network.is_none_or(|network| self.rates.has_any(network, Instant::now()))
            || token.is_some_and(|token| self.verified.contains(Fingerprint::of(token)))
    }

    /// Recognises a token that is valid from now on.
    pub fn recognise(&self, token: Fingerprint) {
        self.verified.insert(token);
    }

    /// Counts a call that has no token to be verified, or one that no key here has signed.
    pub fn count(&self, network: Option<IpAddr>) {
        if let Some(network) = network {
            self.rates.count(network, Instant::now());
        }
    }

    /// Counts a call by the result of verifying its token.
    pub fn count_result(&self, network: Option<IpAddr>, result: &Result<impl TokenClaims, TokenError>) {
        match result {
            Ok(claims) => self.recognise(claims.fingerprint()),
            Err(error) if error.is_signed() => {}
            Err(_unsigned) => self.count(network),
        }
    }
}

/// Tokens that were verified, in a fixed number of slots: a newer one replaces another one of its slot.
#[derive(Debug)]
struct VerifiedTokens(Box<[AtomicU64]>);

impl VerifiedTokens {
    fn new() -> Self {
        Self((0..VERIFIED_MAX).map(|_| AtomicU64::default()).collect())
    }

    fn contains(&self, token: Fingerprint) -> bool {
        self.slot(token).load(Ordering::Relaxed) == token.bits()
    }

    fn insert(&self, token: Fingerprint) {
        let slot = self.slot(token);
        // Read first: the same token is verified again and again, and a write takes the cache line from other cores.
        if slot.load(Ordering::Relaxed) != token.bits() {
            slot.store(token.bits(), Ordering::Relaxed);
        }
    }

    fn slot(&self, token: Fingerprint) -> &AtomicU64 {
        &self.0[token.bits() as usize % VERIFIED_MAX]
    }
}
