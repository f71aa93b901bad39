//! Broadcasts sent over HTTP: many at once, or one (http §5–7).
//!
//! Both answer 202 when the messages were handed to the rooms. Their common checks are here: who asks,
//! how often, and with which token.

mod batch;
mod single;

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hub::{Privacy, RoomKey, Space};
use serde_json::{Value, json};

use crate::node::Node;
use crate::tenants::Tenant;

/// What a field is refused with.
const BLANK: &str = "can't be blank";
const INVALID: &str = "is invalid";
const TOO_LARGE: &str = "Payload size exceeds tenant limit";

/// Who asks.
pub struct Caller<'a> {
    /// The server that is asked.
    pub node: &'a Node,
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

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
        Self(StatusCode::BAD_REQUEST, "Bad Request".into())
    }
}

impl Caller<'_> {
    /// `POST /api/broadcast`: many messages, as the REST fallback of supabase-js sends them.
    pub fn batch(&self, body: &[u8]) -> Response<Bytes> {
        self.answer(|tenant| batch::send(&self.node.hub, tenant, body))
    }

    /// `POST /api/broadcast/<topic>/events/<event>`: one message, as `httpSend` of supabase-js sends it.
    pub fn single(&self, topic: &str, event: &str, private: bool, body: &[u8]) -> Response<Bytes> {
        let Some(content) = single::Content::of(self.headers) else {
            let error = "Unsupported Media Type. Use application/json or application/octet-stream";
            return respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some(&json!({ "error": error })));
        };
        let message = single::Message { topic, event, private, content, body };
        self.answer(|tenant| single::send(&self.node.hub, tenant, &message))
    }

    /// The checks of http §5, then `send`; rates are in the headers of every answer.
    fn answer(&self, send: impl FnOnce(&Tenant) -> Result<(), Refused>) -> Response<Bytes> {
        let (tenant, now) = (&*self.node.default_tenant, Instant::now());
        tenant.requests.add(1, now);
        let (rate, limit) = (tenant.requests.per_second(now), tenant.allowance.max_events_per_second);
        let sent = if rate >= limit {
            Err(Refused::message(StatusCode::TOO_MANY_REQUESTS, "Too many requests"))
        } else {
            self.authorize(tenant).and_then(|()| send(tenant))
        };
        let mut response = match sent {
            Ok(()) => respond(StatusCode::ACCEPTED, None),
            Err(Refused(status, body)) => respond(status, Some(&body)),
        };
        let remaining = i128::from(limit) - i128::from(rate);
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-rate-rolling", rate.into()),
            ("x-rate-limit", limit.into()),
            ("x-rate-limit-remaining", remaining),
        ] {
            let value = HeaderValue::from_str(&i128::to_string(&value)).expect("digits are a header value");
            headers.insert(name, value);
        }
        response
    }

    fn authorize(&self, tenant: &Tenant) -> Result<(), Refused> {
        let unauthorized = || Refused::message(StatusCode::UNAUTHORIZED, "Unauthorized");
        let token = self.token().ok_or_else(unauthorized)?;
        tenant.verifier.verify(token, SystemTime::now()).map(drop).map_err(|_why| unauthorized())
    }

    /// The token of `authorization`, or else of `apikey`. An `authorization` that is no `Bearer <token>`
    /// counts as none, unless it names another scheme: then `apikey` is looked at.
    fn token(&self) -> Option<&str> {
        let text = |name| self.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        match text(header::AUTHORIZATION.as_str()).filter(|value| !value.is_empty()) {
            None => text("apikey"),
            Some(authorization) => match authorization.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token),
                Some(_other_scheme) => text("apikey"),
                None => None,
            },
        }
    }
}

/// Takes `events` from what the tenant may send.
fn spend(tenant: &Tenant, events: u64) -> Result<(), Refused> {
    let now = Instant::now();
    if tenant.allowance.events.take(events, now) {
        return Ok(());
    }
    tenant.metrics.limited.increment(1);
    let text = if tenant.allowance.events.has_any(now) {
        "Too many messages to broadcast, please reduce the batch size"
    } else {
        "You have exceeded your rate limit"
    };
    Err(Refused::message(StatusCode::TOO_MANY_REQUESTS, text))
}

fn room(tenant: &Tenant, topic: &str) -> RoomKey {
    let (tenant, space, privacy) = (tenant.id.clone(), Space::Phoenix, Privacy::Public);
    RoomKey { tenant, space, privacy, topic: topic.into() }
}

fn respond(status: StatusCode, body: Option<&Value>) -> Response<Bytes> {
    let mut response = Response::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default());
    *response.status_mut() = status;
    if body.is_some() {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    response
}
