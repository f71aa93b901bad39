//! Broadcasts sent over HTTP: many at once, or one (docs/protocol/http.md#broadcast-checks).
//!
//! Both answer 202 when the messages were handed to the rooms. Their common checks are here: who asks,
//! how often, and with which token. They need the request's head only; the body, which may be large, is
//! not read for those they refuse.

mod batch;
mod single;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::{Privacy, RoomKey, Space};
use serde_json::{Value, json};
use wire::phoenix::FIELD_BYTES_MAX;
use wire::supabase::TOPIC_PREFIX;

use crate::auth::{Credentials, TokenError};
use crate::node::Node;
use crate::response;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::{Tenant, TenantStatus};

/// What a field is refused with.
const BLANK: &str = "can't be blank";
const INVALID: &str = "is invalid";
const TOO_LARGE: &str = "Payload size exceeds tenant limit";

/// What a batch is refused with, be it too long for this server or for the tenant's rate.
const BATCH_TOO_LONG: &str = "Too many messages to broadcast, please reduce the batch size";

/// Who asks.
pub struct Caller<'a> {
    /// The server that is asked.
    pub node: &'a Node,
    /// The tenant whose rooms are meant; `None` when nobody has the name that was said.
    pub tenant: Option<Arc<Tenant>>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's address.
    pub uri: &'a Uri,
}

/// A request's body, read when it is awaited and not before; or the status that says why it cannot be read.
pub trait Body: Future<Output = Result<Bytes, StatusCode>> {}

impl<F: Future<Output = Result<Bytes, StatusCode>>> Body for F {}

/// Why a request is refused: a status and a JSON body.
struct Refused(StatusCode, Value);

impl Refused {
    fn message(status: StatusCode, text: &str) -> Self {
        Self(status, json!({ "message": text }))
    }

    fn errors(errors: Value) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, json!({ "errors": errors }))
    }

    fn not_json() -> Self {
        Self::without_body(StatusCode::BAD_REQUEST)
    }

    /// The body could not be read.
    fn without_body(status: StatusCode) -> Self {
        let text = match status {
            // As upstream says it; the status was renamed since.
            StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
            other => other.canonical_reason().unwrap_or_default(),
        };
        Self(status, text.into())
    }
}

impl Caller<'_> {
    /// `POST /api/broadcast`: many messages, as the REST fallback of supabase-js sends them.
    pub async fn batch(&self, body: impl Body) -> Response<Bytes> {
        self.answer(body, |tenant, body| batch::send(self.node, tenant, body)).await
    }

    /// `POST /api/broadcast/<topic>/events/<event>`: one message, as `httpSend` of supabase-js sends it.
    pub async fn single(&self, topic: &str, event: &str, private: bool, body: impl Body) -> Response<Bytes> {
        let Some(content) = single::Content::of(self.headers) else {
            let error = "Unsupported Media Type. Use application/json or application/octet-stream";
            return response::json(StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!({ "error": error }));
        };
        let send = |tenant: &Tenant, body: &[u8]| {
            let message = single::Message { topic, event, private, content, body };
            single::send(&self.node.hub, tenant, &message)
        };
        self.answer(body, send).await
    }

    /// The checks of docs/protocol/http.md#broadcast-checks in their order, then the body, then `send`. Every
    /// answer tells the rate.
    async fn answer(
        &self,
        body: impl Body,
        send: impl FnOnce(&Tenant, &[u8]) -> Result<(), Refused>,
    ) -> Response<Bytes> {
        let Some(tenant) = self.tenant.as_deref() else {
            let text = "Tenant not found in database";
            self.node.reports.record(Code::TenantNotFound.at(Scope::Http), text);
            return response::json(StatusCode::UNAUTHORIZED, &json!({ "message": text }));
        };
        let rate = Rate::count_one(tenant);
        let sent = match self.admit(tenant, &rate).await {
            Ok(()) => body.await.map_err(Refused::without_body).and_then(|body| send(tenant, &body)),
            Err(refused) => Err(refused),
        };
        let mut response = match sent {
            Ok(()) => response::empty(StatusCode::ACCEPTED),
            Err(Refused(status, body)) => response::json(status, &body),
        };
        rate.add_headers(response.headers_mut());
        response
    }

    async fn admit(&self, tenant: &Tenant, rate: &Rate) -> Result<(), Refused> {
        let policy = tenant.policy();
        if policy.status == TenantStatus::Suspended {
            let text = "Realtime was disabled for this tenant";
            tenant.reports.record(Code::RealtimeDisabledForTenant.at(Scope::Http), text);
            return Err(Refused::message(StatusCode::FORBIDDEN, text));
        }
        if rate.is_reached() {
            return Err(too_many(tenant, "Too many requests"));
        }
        let verdict = match Credentials::of(self.headers, self.uri).for_http() {
            Some(token) => policy.verifier.verify_fetching(&token, SystemTime::now()).await,
            None => Err(TokenError::Missing),
        };
        verdict.map(drop).map_err(|why| {
            tenant.reports.record(why.code().at(Scope::Http), &why);
            Refused::message(StatusCode::UNAUTHORIZED, "Unauthorized")
        })
    }
}

/// How many requests a tenant sends in a second, and how many it may.
struct Rate {
    rolling: u64,
    limit: u64,
}

impl Rate {
    /// The rate, with one more request in it.
    fn count_one(tenant: &Tenant) -> Self {
        let now = Instant::now();
        tenant.requests.add(1, now);
        Self { rolling: tenant.requests.per_second(now), limit: tenant.allowance.max_events_per_second() }
    }

    fn is_reached(&self) -> bool {
        self.rolling >= self.limit
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        let (rolling, limit) = (i128::from(self.rolling), i128::from(self.limit));
        for (name, value) in [
            ("x-rate-rolling", rolling),
            ("x-rate-limit", limit),
            // Below zero as well: by how much the tenant is over it.
            ("x-rate-limit-remaining", limit - rolling),
        ] {
            let value = HeaderValue::from_str(&value.to_string()).expect("digits are a header value");
            headers.insert(name, value);
        }
    }
}

/// Takes `events` from what the tenant may send.
fn spend(tenant: &Tenant, events: u64) -> Result<(), Refused> {
    let now = Instant::now();
    if tenant.allowance.events.take(events, now) {
        return Ok(());
    }
    let some_left = tenant.allowance.events.has_any(now);
    Err(too_many(tenant, if some_left { BATCH_TOO_LONG } else { "You have exceeded your rate limit" }))
}

fn too_many(tenant: &Tenant, text: &str) -> Refused {
    tenant.metrics.limited.increment(1);
    tenant.reports.record(Code::MessagePerSecondRateLimitReached.at(Scope::Http), text);
    Refused::message(StatusCode::TOO_MANY_REQUESTS, text)
}

/// Refuses what nobody could receive: private messages, which need the tenant's database to be authorized, as
/// this server knows none yet; and public ones of a tenant whose rooms are all private. 202 would hide it.
fn check_privacy(tenant: &Tenant, private: bool) -> Result<(), Refused> {
    let (code, text) = match (private, tenant.policy().private_only()) {
        (true, _) => (Code::UnableToConnectToProject, "Tenant database unavailable"),
        (false, true) => (Code::PrivateOnly, Code::PrivateOnly.text()),
        (false, false) => return Ok(()),
    };
    tenant.reports.record(code.at(Scope::Http), text);
    Err(Refused::message(StatusCode::UNPROCESSABLE_ENTITY, text))
}

/// The longest name of a room that can be joined: with its prefix it has to fit the binary frame it travels in.
const TOPIC_BYTES_MAX: usize = FIELD_BYTES_MAX - TOPIC_PREFIX.len();

fn too_long(bytes_max: usize) -> String {
    format!("should be at most {bytes_max} byte(s)")
}

fn room(tenant: &Tenant, topic: &str) -> RoomKey {
    let (tenant, space, privacy) = (tenant.id.clone(), Space::Phoenix, Privacy::Public);
    RoomKey { tenant, space, privacy, topic: topic.into() }
}
