//! All routes of the server, and the page that lists them.

use std::collections::HashSet;
use std::fmt::Write as _;

use http::Method;

use super::path::RequestPath;
use super::{Access, PathParameters, Route};

/// The routes of a server. The first one that matches is used.
#[derive(Debug, Clone)]
pub struct RouteTable(Vec<Route>);

impl RouteTable {
    /// The routes of several slices.
    ///
    /// # Panics
    /// When two routes have the same operation.
    pub fn new(routes: impl IntoIterator<Item = Vec<Route>>) -> Self {
        let routes: Vec<Route> = routes.into_iter().flatten().collect();
        let mut operations = HashSet::new();
        for route in &routes {
            let id = route.operation.id;
            assert!(operations.insert(id), "two routes have the operation `{id}`");
        }
        Self(routes)
    }

    /// All routes, in the order in which they were declared.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The route of a request. When no route at this path takes the method, the first one at the path.
    pub fn find(&self, method: &Method, path: &str) -> Option<(&Route, PathParameters)> {
        let path = RequestPath::split(path);
        let mut at_path = None;
        for route in &self.0 {
            let Some(parameters) = route.paths.iter().find_map(|pattern| pattern.parameters(&path)) else {
                continue;
            };
            if route.methods.contains(method) {
                return Some((route, parameters));
            }
            at_path.get_or_insert((route, parameters));
        }
        at_path
    }

    /// The methods that routes at this path take, as the header `allow` lists them.
    pub fn allowed_methods(&self, path: &str) -> String {
        let path = RequestPath::split(path);
        let at_path = |route: &&Route| route.paths.iter().any(|pattern| pattern.parameters(&path).is_some());
        let methods = self.0.iter().filter(at_path).flat_map(|route| route.methods);
        methods.map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The page `docs/http.md`.
    pub fn reference(&self) -> String {
        let mut page = HEADER.to_owned();
        for route in &self.0 {
            let mut methods: Vec<_> = route.methods.iter().map(Method::as_str).collect();
            if route.can_be_cross_origin() {
                methods.push(Method::OPTIONS.as_str());
            }
            let paths: Vec<_> = route.paths().map(|path| format!("`{path}`")).collect();
            let prefix = if route.is_below_gateway_prefix() { "yes" } else { "no" };
            let internal = if route.is_internal() { "yes" } else { "no" };
            let body = route.max_body().map_or("none".to_owned(), |limit| format!("`{}`", limit.key));
            let operation = route.operation();
            writeln!(
                page,
                "| {} | {} | {prefix} | {internal} | {} | {body} | {} | `{}` |",
                methods.join(", "),
                paths.join(", "),
                describe(route.access()),
                operation.summary,
                operation.id,
            )
            .expect("a string takes everything");
        }
        page
    }
}

const HEADER: &str = "\
# HTTP routes

<!-- Generated from the routes that the server declares: UPDATE=1 cargo test -p e2e --test e2e routes:: -->

Paths marked in the third column exist below `/realtime/v1` as well. Empty segments in them are ignored; in those of
`/api/tenants` only one at the end is. The others exist exactly as written. OPTIONS is the preflight request of browsers, answered while `broadcast.cors` is set. Access is
checked before the body is read. The internal port (`server.internal.port`) serves those marked in the fourth column, and no
others. The responses are in [protocol/http.md](protocol/http.md).

| Method | Path | Below `/realtime/v1` | Internal port | Access | Body limit | Summary | Operation |
|---|---|---|---|---|---|---|---|
";

fn describe(access: Access) -> &'static str {
    match access {
        Access::Public => "public",
        Access::Operator | Access::Management => "operator token",
        Access::Metrics => "public, or metrics token with `admin.metrics_jwt_secret`",
        Access::Tenant => "token of the tenant",
        Access::WebSocket => "token of the tenant, checked once the WebSocket is open",
    }
}
