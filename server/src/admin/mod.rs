//! HTTP for operators: health checks, metrics, the status of the node, and commands.

mod description;
mod exporters;
mod health;
mod metrics;
mod operator;
mod page;
mod status;

pub mod tenants;
mod unread;

use std::sync::Arc;

use self::page::Page;
use crate::node::Node;
use crate::routes::{ACTION, Access, Operation, OtherMethod, PAGE, Route, RouteHandler};

/// The routes of operators and of the programs that watch the server.
pub fn routes(node: &Arc<Node>) -> Vec<Route> {
    let pages = metrics(node).into_iter().chain([status(node)]);
    health_checks(node).into_iter().chain(pages).chain(commands(node)).collect()
}

fn health_checks(node: &Arc<Node>) -> [Route; 4] {
    let page = |path, id, summary, handler| {
        Route::new(PAGE, &[path], Access::Public, Operation { id, summary }, handler).health_check()
    };
    [
        page(
            "/",
            "getRoot",
            "Responds with a short text, for load balancers whose health check requests the root.",
            RouteHandler::immediate(node, |_, _| health::root()),
        )
        .describe(description::text(health::ROOT)),
        page(
            "/health",
            "getHealth",
            "Responds while the process is alive, with the number of connections, rooms and members.",
            RouteHandler::immediate(node, |node, _| health::health(node)),
        )
        .describe(description::health()),
        page(
            "/healthcheck",
            "getHealthcheck",
            "Responds while the process is alive, as Supabase Realtime does.",
            RouteHandler::immediate(node, |_, _| health::healthcheck()),
        )
        .describe(description::text(health::HEALTHCHECK)),
        page(
            "/readyz",
            "getReadiness",
            "Reports whether load balancers should send new clients to this node.",
            RouteHandler::immediate(node, |node, _| health::readyz(node)),
        )
        .other_method(OtherMethod::NotAllowed)
        .describe(description::readiness()),
    ]
}

fn metrics(node: &Arc<Node>) -> [Route; 2] {
    let page = Page::new(node, metrics::CONTENT_TYPE, metrics::page);
    let route = |path, id, summary, handler| {
        Route::new(PAGE, &[path], Access::Metrics, Operation { id, summary }, handler).health_check()
    };
    [
        route(
            "/metrics",
            "getMetrics",
            "Reports the metrics of this node in the text format of Prometheus.",
            RouteHandler::new(&page, Page::respond),
        )
        .describe(description::metrics()),
        route(
            "/metrics/{region}",
            "getMetricsOfRegion",
            "Reports the metrics of this node if it is in the region, else nothing.",
            RouteHandler::new(&page, metrics::of_region),
        )
        .describe(description::metrics_of_region()),
    ]
}

fn status(node: &Arc<Node>) -> Route {
    let operation = Operation {
        id: "getStatus",
        summary: "Reports the state of this node: settings, tenants, connection to the other nodes.",
    };
    let page = Page::new(node, status::CONTENT_TYPE, status::page);
    let handler = RouteHandler::new(&page, Page::respond);
    let route = Route::new(PAGE, &["/status"], Access::Operator, operation, handler);
    route.other_method(OtherMethod::NotAllowed).describe(description::status())
}

fn commands(node: &Arc<Node>) -> [Route; 2] {
    let command = |path, id, summary, handler| {
        let route = Route::new(ACTION, &[path], Access::Operator, Operation { id, summary }, handler);
        route.other_method(OtherMethod::NotAllowed)
    };
    [
        command(
            "/admin/reload",
            "reloadSettings",
            "Reads the settings again on all nodes, and reports what has changed on this one.",
            RouteHandler::new(node, operator::reload),
        )
        .describe(description::reload()),
        command(
            "/admin/tenants/{id}/disconnect",
            "disconnectTenant",
            "Closes the connections of a tenant on all nodes with 1012; clients may reconnect.",
            RouteHandler::new(node, operator::disconnect),
        )
        .describe(description::disconnect()),
    ]
}
