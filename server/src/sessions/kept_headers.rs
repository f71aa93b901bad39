//! The headers of a request that policies of a database may read, charged to the memory of the tenant.

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName};
use hub::{MemoryCharge, TenantMemory};

use super::kept_claims::try_charge;
use crate::auth::headers_as_json;
use crate::tenants::Policy;

/// No headers, which most connections have.
static NONE: LazyLock<Arc<str>> = LazyLock::new(|| "{}".into());

/// Headers as a JSON object, with names in lower case.
#[derive(Debug)]
pub struct KeptHeaders {
    json: Arc<str>,
    _charge: Option<MemoryCharge>,
}

impl KeptHeaders {
    /// The headers of a handshake whose names begin with `x-`. None if the tenant has no database; `None` if there is no
    /// memory.
    pub fn of(headers: &HeaderMap, policy: &Policy, memory: &Arc<TenantMemory>) -> Option<Self> {
        if policy.database().is_none() || !headers.keys().any(is_kept) {
            return Some(Self::none());
        }
        let json = headers_as_json(headers, is_kept);
        let charge = try_charge(memory, json.len())?;
        Some(Self { json, _charge: Some(charge) })
    }

    /// No headers.
    pub fn none() -> Self {
        Self { json: Arc::clone(&NONE), _charge: None }
    }

    /// Them as a JSON object.
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }
}

fn is_kept(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-")
}
