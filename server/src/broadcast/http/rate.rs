//! The rate of a tenant's requests, as the headers of a response report it.

use std::time::Instant;

use http::{HeaderMap, HeaderValue};

use crate::tenants::Tenant;

/// The requests per second of a tenant, and their limit.
pub(super) struct RequestRate {
    rolling: u64,
    limit: u64,
}

impl RequestRate {
    /// The rate including one more request.
    pub(super) fn count_request(tenant: &Tenant) -> Self {
        let now = Instant::now();
        tenant.requests.add(1, now);
        Self { rolling: tenant.requests.per_second(now), limit: tenant.allowance.max_events_per_second() }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.rolling >= self.limit
    }

    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        let (rolling, limit) = (i128::from(self.rolling), i128::from(self.limit));
        for (name, value) in [
            ("x-rate-rolling", rolling),
            ("x-rate-limit", limit),
            // Negative when the tenant is over the limit.
            ("x-rate-limit-remaining", limit - rolling),
        ] {
            let value = HeaderValue::from_str(&value.to_string()).expect("digits are a header value");
            headers.insert(name, value);
        }
    }
}
