//! The span of an HTTP request, by the semantic conventions of OpenTelemetry: how it was answered and how long that took, never its
//! contents. Health checks and scrapes have none: supervisors send them every few seconds.

use std::net::IpAddr;

use http::{Method, Request, Response};

use super::request_log::loggable;
use crate::routes::Route;
use crate::telemetry::reports::Reports;
use crate::telemetry::traces::{TENANT, TraceContext, TraceSpan, Traces};

/// The method of requests whose own is no standard one: their words are chosen by clients.
const OTHER_METHOD: &str = "_OTHER";

/// The span of a request that is being handled.
pub(super) struct RequestSpan(TraceSpan);

impl RequestSpan {
    /// Begins the span of a request for `route`, which continues the trace that the headers name.
    pub(super) fn start<B>(traces: &Traces, route: Option<&Route>, request: &Request<B>) -> Self {
        if !traces.is_on() || route.is_some_and(Route::is_health_check) {
            return Self(TraceSpan::NONE);
        }
        let (method, path) = (method(request.method()), request.uri().path());
        let mut span = traces.request(method, request.headers());
        if span.is_recorded() {
            span.note("http.request.method", method);
            span.note("url.path", &loggable(path));
            if let Some(declared) = route.and_then(|route| route.declared_path(path)) {
                span.rename(|| format!("{method} {declared}"));
                span.note("http.route", declared);
            }
        }
        Self(span)
    }

    /// What identifies it.
    pub(super) fn context(&self) -> Option<TraceContext> {
        self.0.context()
    }

    /// Ends it with the response to the request of this id, from this address.
    pub(super) fn finish<B>(self, response: &Response<B>, id: &str, address: IpAddr) {
        let Self(mut span) = self;
        if !span.is_recorded() {
            return;
        }
        span.note("request_id", id);
        span.note("client.address", &address.to_string());
        span.note_number("http.response.status_code", response.status().as_u16().into());
        if let Some(tenant) = response.extensions().get::<Reports>().and_then(Reports::tenant) {
            span.note(TENANT, tenant);
        }
        if response.status().is_server_error() {
            span.fail("5xx");
        }
    }
}

fn method(method: &Method) -> &'static str {
    const STANDARD: [(Method, &str); 9] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::CONNECT, "CONNECT"),
        (Method::PATCH, "PATCH"),
        (Method::TRACE, "TRACE"),
    ];
    STANDARD.into_iter().find(|(known, _)| known == method).map_or(OTHER_METHOD, |(_, word)| word)
}
