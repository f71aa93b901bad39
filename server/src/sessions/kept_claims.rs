//! The claims that a session keeps, charged to the memory of its tenant: a client chooses how long they are, and it may have
//! a token for each of its channels.

use std::ops::Deref;
use std::sync::Arc;

use hub::{MemoryCharge, MemoryKind, TenantMemory};

use crate::auth::{Claims, TokenClaims};
use crate::tenants::Policy;

/// Bytes of the texts of a handshake's claims that are part of what its connection is charged.
const INCLUDED_BYTES: usize = 256;

/// Bytes that the claims of a channel take beside their texts.
const FIXED_BYTES: usize = 256;

/// Claims, and the memory that they are charged.
#[derive(Debug)]
pub struct KeptClaims<C = Claims> {
    claims: Arc<C>,
    _charge: Option<MemoryCharge>,
}

impl<C: TokenClaims> KeptClaims<C> {
    /// Keeps the claims of a handshake; `None` if they are larger than those of ordinary tokens and there is no memory.
    pub fn of_handshake(claims: C, policy: &Policy, memory: &Arc<TenantMemory>) -> Option<Arc<Self>> {
        let claims = needed(claims, policy);
        let bytes = claims.text_bytes().saturating_sub(INCLUDED_BYTES);
        let charge = if bytes > 0 { Some(try_charge(memory, bytes)?) } else { None };
        Some(Arc::new(Self { claims: Arc::new(claims), _charge: charge }))
    }

    /// Keeps the claims of a token for a part of what the client uses, such as a channel; `None` if there is no memory.
    pub fn of_channel(claims: C, policy: &Policy, memory: &Arc<TenantMemory>) -> Option<Arc<Self>> {
        let claims = needed(claims, policy);
        let charge = try_charge(memory, FIXED_BYTES + claims.text_bytes())?;
        Some(Arc::new(Self { claims: Arc::new(claims), _charge: Some(charge) }))
    }

    /// The claims, to be shared with work that outlasts the session.
    pub fn shared(&self) -> &Arc<C> {
        &self.claims
    }
}

impl<C> Deref for KeptClaims<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.claims
    }
}

/// What is needed of `claims`: without a database nothing reads all of them.
fn needed<C: TokenClaims>(claims: C, policy: &Policy) -> C {
    if policy.database().is_some() { claims } else { claims.without_payload() }
}

/// Charges `bytes` for what a session keeps, and counts it if there is no memory.
pub(super) fn try_charge(memory: &Arc<TenantMemory>, bytes: usize) -> Option<MemoryCharge> {
    let charge = memory.try_charge(MemoryKind::Sessions, bytes);
    if charge.is_none() {
        memory.count_refusal(MemoryKind::Sessions);
    }
    charge
}
