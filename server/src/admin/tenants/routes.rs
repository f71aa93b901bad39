//! The routes of the management API (docs/protocol/http.md#tenants).

use std::sync::Arc;

use http::Method;

use super::{description, read, write};
use crate::node::Node;
use crate::routes::{ACTION, Access, Operation, PAGE, Route, RouteHandler};

const PUT: &[Method] = &[Method::PUT, Method::PATCH];
const DELETE: &[Method] = &[Method::DELETE];

const ALL: &str = "/api/tenants";
const ONE: &str = "/api/tenants/{tenant_id}";

/// The routes by which operators manage tenants.
pub fn routes(node: &Arc<Node>) -> Vec<Route> {
    let route = |methods, path, id, summary, handler| {
        Route::new(methods, &[path], Access::Management, Operation { id, summary }, handler).negotiated()
    };
    let writing = |methods, path, id, summary, handler| {
        route(methods, path, id, summary, handler)
            .body_limit("admin.max_body_size", |settings| settings.admin.max_body_size)
    };
    vec![
        route(PAGE, ALL, "listTenants", "Lists all tenants.", RouteHandler::new(node, read::list))
            .describe(description::list()),
        writing(
            ACTION,
            ALL,
            "createTenant",
            "Creates the tenant that the body names, or changes it.",
            RouteHandler::new(node, write::post),
        )
        .describe(description::post()),
        route(PAGE, ONE, "getTenant", "Shows a tenant.", RouteHandler::new(node, read::show))
            .describe(description::show()),
        writing(
            PUT,
            ONE,
            "putTenant",
            "Creates the tenant that the path names, or changes it.",
            RouteHandler::new(node, write::put),
        )
        .describe(description::put()),
        route(DELETE, ONE, "deleteTenant", "Deletes a tenant.", RouteHandler::new(node, write::delete))
            .describe(description::delete()),
        route(
            ACTION,
            "/api/tenants/{tenant_id}/reload",
            "reloadTenant",
            "Reads a tenant from the store again, and closes the connections of its clients with 1012, and those to its database.",
            RouteHandler::new(node, write::reload),
        )
        .describe(description::reload()),
        route(
            ACTION,
            "/api/tenants/{tenant_id}/shutdown",
            "shutdownTenant",
            "Closes the connections to the database of a tenant, until a client needs it again.",
            RouteHandler::new(node, write::shutdown),
        )
        .describe(description::shutdown()),
        route(
            PAGE,
            "/api/tenants/{tenant_id}/health",
            "getTenantHealth",
            "Reports whether a tenant is served, and how many clients it has.",
            RouteHandler::new(node, read::health),
        )
        .describe(description::health()),
    ]
}
