//! The whole document: what precedes the operations, and one operation for each method and path of the table.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Map, Value, json};

use super::operation::{OperationKey, operation};
use super::schemas::Schemas;
use super::security;
use crate::routes::{Route, RouteTable};
use crate::version::VERSION;

/// The prefix below which a gateway of Supabase shows the API. No other part of an address is known to the server.
const GATEWAY_PREFIX: &str = "/realtime/v1";

/// The OpenAPI document of these routes.
///
/// # Panics
/// When schemas of one name differ, or two operations get one id: a mistake in a description.
pub fn document(table: &RouteTable) -> Value {
    let (mut schemas, mut paths) = (Schemas::default(), Map::new());
    let mut ids = BTreeSet::new();
    for route in table.routes() {
        for (number, path) in route.paths().enumerate() {
            let item = paths.entry(path).or_insert_with(|| path_item(route));
            for method in methods(route) {
                let key =
                    OperationKey { method, path, is_first: number == 0 && *method == route.methods()[0] };
                let operation = operation(route, &key, &mut schemas);
                assert!(ids.insert(operation["operationId"].to_string()), "one id twice: {operation}");
                item[method.as_str().to_ascii_lowercase()] = operation;
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": "/"}, {"url": GATEWAY_PREFIX}],
        "tags": tags(table),
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "headers": super::general::headers(),
            "securitySchemes": security::schemes(),
        },
    })
}

/// The methods that a route answers, preflight requests of browsers included.
fn methods(route: &Route) -> impl Iterator<Item = &Method> {
    route.methods().iter().chain(route.can_be_cross_origin().then_some(&Method::OPTIONS))
}

/// What all methods of a path have in common. A path that exists as it is written has one server.
fn path_item(route: &Route) -> Value {
    if route.is_below_gateway_prefix() { json!({}) } else { json!({"servers": [{"url": "/"}]}) }
}

fn info() -> Value {
    json!({
        "title": "Realtime Server",
        "version": VERSION,
        "license": {"name": "MIT", "identifier": "MIT"},
        "description": "Rooms for applications: broadcast, presence and shared state over WebSocket and HTTP.\n\n\
            A path that is not described is answered with 404. A method that is not described is answered with 404, at \
            `/readyz`, `/status` and `/admin/…` with 405 and `allow`, and at the paths of WebSockets with 400.",
    })
}

/// The tags in the order in which routes use them.
fn tags(table: &RouteTable) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let tags = table.routes().map(|route| route.description().tag());
    tags.filter(|tag| !tag.is_empty() && seen.insert(*tag)).map(|tag| json!({"name": tag})).collect()
}
