//! Broadcasts sent over HTTP: a batch, or a single message (docs/protocol/http.md#broadcast-checks); and the ping.
//!
//! Both respond 202 when the messages were handed to the rooms. The checks that they have in common are here, in their
//! order. These need the head of the request only; the body, which may be large, is not read for requests that they refuse.

mod authorization;
mod batch;
mod description;
mod ping;
mod rate;
mod rejection;
mod single;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Response, StatusCode};
use hub::{Privacy, RoomKey, Space};
use serde_json::json;
use wire::phoenix::FIELD_BYTES_MAX;
use wire::supabase::TOPIC_PREFIX;

pub use self::authorization::Authorization;
use self::authorization::{NO_DATABASE, Sender};
use self::batch::DroppedMessages;
use self::rate::RequestRate;
use self::rejection::Rejection;
use crate::auth::{Credentials, QuestionTurns, headers_as_json};
use crate::node::{Authenticated, HttpRefusal, Node, NotAuthenticated};
use crate::response;
use crate::routes::{
    ACTION, Access, BodyError, Operation, PAGE, ReceivedBody, RequestBody, RequestHead, Route, RouteHandler,
    RoutedRequest,
};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::logs::shortened;
use crate::telemetry::traces::{SpanName, TENANT, TOPIC};
use crate::tenants::Tenant;

/// Errors of a field.
const BLANK: &str = "can't be blank";
const INVALID: &str = "is invalid";
const TOO_LARGE: &str = "Payload size exceeds tenant limit";

/// The texts of refusals, as the description of the routes has them too.
const UNSUPPORTED_CONTENT: &str = "Unsupported Media Type. Use application/json or application/octet-stream";
const TOO_MANY_REQUESTS: &str = "Too many requests";
const EXHAUSTED: &str = "You have exceeded your rate limit";

/// The error of a batch that is over `broadcast.max_batch_size`, or over what is left of the tenant's rate.
const BATCH_TOO_LONG: &str = "Too many messages to broadcast, please reduce the batch size";

/// What the routes use.
struct Broadcasting {
    node: Arc<Node>,
    authorization: Authorization,
}

/// The routes for broadcasts. `authorization` decides about private rooms.
pub fn routes(node: &Arc<Node>, authorization: Authorization) -> Vec<Route> {
    let broadcasting = Arc::new(Broadcasting { node: Arc::clone(node), authorization });
    let route = |path, id, summary, handler| {
        Route::new(ACTION, &[path], Access::Tenant, Operation { id, summary }, handler)
            .negotiated()
            .cross_origin(|settings| settings.broadcast.cors)
            .body_limit("broadcast.max_body_size", |settings| settings.broadcast.max_body_size)
    };
    vec![
        route(
            "/api/broadcast",
            "broadcastBatch",
            "Sends several messages.",
            RouteHandler::new(&broadcasting, post_batch),
        )
        .describe(description::batch()),
        route(
            "/api/broadcast/{topic}/events/{event}",
            "broadcastMessage",
            "Sends one message, JSON or bytes.",
            RouteHandler::new(&broadcasting, post_single),
        )
        .describe(description::single()),
        Route::new(
            PAGE,
            &["/api/ping"],
            Access::Public,
            Operation { id: "ping", summary: "Responds if the tenant that the request names is served." },
            RouteHandler::new(node, ping::ping),
        )
        .negotiated()
        .describe(description::ping()),
    ]
}

/// Many messages, as the REST fallback of supabase-js sends them.
async fn post_batch(server: Arc<Broadcasting>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let mut admitted = match Admitted::admit(&server.node, &head).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let sent = match admitted.read(body).await {
        Ok(body) => batch::send(&server, &admitted.tenant, &admitted.sender, body).await,
        Err(rejection) => Err(rejection),
    };
    let sent = sent.map(|dropped| admitted.note_dropped(&dropped));
    admitted.respond(sent)
}

/// One message, as `httpSend` of supabase-js sends it.
async fn post_single(server: Arc<Broadcasting>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let privacy = match head.query_parameter("private").as_deref() {
        Some("true") => Privacy::Private,
        _ => Privacy::Public,
    };
    let (Ok(topic), Ok(event)) = (head.decoded_parameter("topic"), head.decoded_parameter("event")) else {
        return response::json(StatusCode::BAD_REQUEST, &"Bad Request".into());
    };
    let Some(content) = single::Content::of(head.headers()) else {
        let body = json!({ "error": UNSUPPORTED_CONTENT });
        return response::json(StatusCode::UNSUPPORTED_MEDIA_TYPE, &body);
    };
    let mut admitted = match Admitted::admit(&server.node, &head).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    admitted.sender.span.note(TOPIC, shortened(&topic, TOPIC_BYTES_MAX).as_ref());
    let message = single::Message { topic: &topic, event: &event, privacy, content };
    let sent = match admitted.read(body).await {
        Ok(body) => single::send(&server, (&admitted.tenant, &admitted.sender), &message, body).await,
        Err(rejection) => Err(rejection),
    };
    admitted.respond(sent)
}

/// A request with a valid token. It counts, and every response to it has the headers of the rate.
struct Admitted {
    tenant: Arc<Tenant>,
    sender: Sender,
    rate: RequestRate,
}

impl Admitted {
    /// Verifies the token of a request. From then on its time is that of its tenant.
    ///
    /// # Errors
    /// The response that refuses it.
    async fn admit(node: &Node, head: &RequestHead) -> Result<Self, Response<Bytes>> {
        let mut span = node.traces.below(head.trace(), SpanName::Broadcast);
        let token = Credentials::of(head.headers(), head.uri()).for_http();
        let request = (head.headers(), head.uri());
        let authenticated = node.authenticate(request, token, head.client_address()).await;
        let Authenticated { tenant, claims, .. } = authenticated.map_err(|refused| {
            let rejection = not_authenticated(node, &refused);
            span.fail(rejection.kind());
            rejection.response()
        })?;
        span.note(TENANT, &tenant.id);
        let rate = RequestRate::count_request(&tenant);
        head.continue_for(tenant.memory.party()).await;
        let headers = headers_as_json(head.headers(), |_| true);
        let sender = Sender { claims: Arc::new(claims), headers, turns: QuestionTurns::default(), span };
        Ok(Self { tenant, sender, rate })
    }

    /// Reads the body, unless the tenant is over a rate: that is known before, and the body costs more than all else.
    async fn read(&self, body: RequestBody) -> Result<ReceivedBody, Rejection> {
        let tenant = &self.tenant;
        if self.rate.is_reached() {
            return Err(too_many(tenant, Code::MessagePerSecondRateLimitReached, TOO_MANY_REQUESTS));
        }
        if !tenant.allowance.events.has_any(Instant::now()) {
            return Err(exhausted(tenant));
        }
        body.read(&tenant.memory).await.map_err(|error| unread(tenant, error))
    }

    /// Notes in the span that messages of a batch were dropped. The response does not say so, as upstream's.
    fn note_dropped(&mut self, dropped: &DroppedMessages) {
        if let Some(kind) = dropped.kind {
            let span = &mut self.sender.span;
            span.note_number("realtime.dropped_messages", i64::try_from(dropped.count).unwrap_or(i64::MAX));
            span.fail(kind);
        }
    }

    fn respond(mut self, sent: Result<(), Rejection>) -> Response<Bytes> {
        let mut response = match sent {
            Ok(()) => response::empty(StatusCode::ACCEPTED),
            Err(rejection) => {
                self.sender.span.fail(rejection.kind());
                rejection.response()
            }
        };
        self.tenant.reports.attribute(&mut response);
        self.rate.add_headers(response.headers_mut());
        response
    }
}

/// Refuses a request whose body could not be read.
fn unread(tenant: &Tenant, error: BodyError) -> Rejection {
    let code = match error {
        BodyError::OutOfMemory => Code::MemoryLimitReached,
        BodyError::TooLarge => Code::BodySizeExceeded,
        BodyError::TimedOut | BodyError::Broken => return error.into(),
    };
    tenant.reports.record(code.at(Scope::Http), code.text());
    match error {
        BodyError::OutOfMemory => Rejection::message(error.status(), code, code.text()),
        _ => Rejection::unread(error, code),
    }
}

/// Reports that a request is refused before it counts.
fn not_authenticated(node: &Node, refused: &NotAuthenticated) -> Rejection {
    let HttpRefusal { status, code, text } = node.refuse_http(refused);
    Rejection::message(status, code, text)
}

/// Takes `events` from what is left of the tenant's rate.
fn spend(tenant: &Tenant, events: u64) -> Result<(), Rejection> {
    let now = Instant::now();
    if tenant.allowance.events.take(events, now) {
        return Ok(());
    }
    if tenant.allowance.events.has_any(now) {
        return Err(too_many(tenant, Code::MessagePerSecondRateLimitReached, BATCH_TOO_LONG));
    }
    Err(exhausted(tenant))
}

/// Nothing is left of the tenant's rate.
fn exhausted(tenant: &Tenant) -> Rejection {
    too_many(tenant, Code::MessagePerSecondRateLimitReached, EXHAUSTED)
}

fn too_many(tenant: &Tenant, code: Code, text: &str) -> Rejection {
    tenant.reports.record(code.at(Scope::Http), text);
    Rejection::message(StatusCode::TOO_MANY_REQUESTS, code, text)
}

/// Reports a payload over the limit of its tenant, and returns the text of the error.
fn too_large(tenant: &Tenant) -> &'static str {
    tenant.reports.record(Code::PayloadSizeExceeded.at(Scope::Http), TOO_LARGE);
    TOO_LARGE
}

/// Refuses messages that no client could receive: private ones of a tenant without a database, and public ones of a tenant
/// that has private rooms only. 202 would hide that.
fn check_privacy(tenant: &Tenant, privacy: Privacy) -> Result<(), Rejection> {
    let policy = tenant.policy();
    let (code, text) = match privacy {
        Privacy::Private if policy.database().is_none() => (Code::UnableToConnectToProject, NO_DATABASE),
        Privacy::Public if policy.private_only() => (Code::PrivateOnly, Code::PrivateOnly.text()),
        Privacy::Private | Privacy::Public => return Ok(()),
    };
    tenant.reports.record(code.at(Scope::Http), text);
    Err(Rejection::message(StatusCode::UNPROCESSABLE_ENTITY, code, text))
}

/// The longest topic that can be joined: with its prefix it has to fit a field of a binary frame.
const TOPIC_BYTES_MAX: usize = FIELD_BYTES_MAX - TOPIC_PREFIX.len();

fn too_long(bytes_max: usize) -> String {
    format!("should be at most {bytes_max} byte(s)")
}

fn room(tenant: &Tenant, topic: &str, privacy: Privacy) -> RoomKey {
    let (tenant, space) = (tenant.id.clone(), Space::Phoenix);
    RoomKey { tenant, space, privacy, topic: topic.into() }
}
