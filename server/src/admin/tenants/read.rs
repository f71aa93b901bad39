//! What operators read of tenants.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::audit;
use super::failure::Failure;
use super::representation::{configured, representation};
use crate::node::Node;
use crate::response;
use crate::routes::{RequestHead, RoutedRequest};
use crate::tenants::Tenant;

/// `GET /api/tenants`
pub(super) async fn list(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let tenants = all(&node).await;
    audit::log(&request.head, "", "list", tenants.as_ref().err());
    match tenants {
        Ok(tenants) => response::json(StatusCode::OK, &json!({ "data": tenants })),
        Err(failure) => failure.response(&node),
    }
}

/// Those of the configuration, then those of the store that the configuration does not have.
async fn all(node: &Node) -> Result<Vec<Value>, Failure> {
    let stored = node.stored_tenants.all().await?;
    let settings = node.settings().every_tenant();
    let is_configured = |id: &str| settings.keys().any(|configured| configured.eq_ignore_ascii_case(id));
    let stored = stored.iter().filter(|tenant| !is_configured(&tenant.external_id)).map(representation);
    Ok(settings.iter().map(|(id, tenant)| configured(id, tenant)).chain(stored).collect())
}

/// `GET /api/tenants/{tenant_id}`
pub(super) async fn show(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = name(&request.head);
    let tenant = one(&node, &id).await;
    audit::log(&request.head, &id, "show", tenant.as_ref().err());
    match tenant {
        Ok(tenant) => response::json(StatusCode::OK, &json!({ "data": tenant })),
        Err(failure) => failure.response(&node),
    }
}

async fn one(node: &Node, id: &str) -> Result<Value, Failure> {
    let settings = node.settings().every_tenant();
    if let Some((id, tenant)) = settings.iter().find(|(configured, _)| configured.eq_ignore_ascii_case(id)) {
        return Ok(configured(id, tenant));
    }
    node.stored_tenants.get(id).await?.as_ref().map(representation).ok_or(Failure::NotFound)
}

/// `POST /api/tenants/{tenant_id}/shutdown`
pub(super) async fn shutdown(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = name(&request.head);
    let known = known(&node, &id).await;
    audit::log(&request.head, &id, "shutdown", known.as_ref().err());
    match known {
        // It has no connection to the tenant's database.
        Ok(_) => response::empty(StatusCode::NO_CONTENT),
        Err(failure) => failure.response(&node),
    }
}

/// `GET /api/tenants/{tenant_id}/health`
pub(super) async fn health(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = name(&request.head);
    let state = state(&node, &id).await;
    if node.settings().telemetry.log_health_checks {
        audit::log(&request.head, &id, "health", state.as_ref().err());
    }
    match state {
        Ok((healthy, users)) => {
            let data = json!({
                "healthy": healthy,
                "db_connected": false,
                "replication_connected": false,
                "connected_cluster": users,
                "region": node.settings().regions.name,
                "node": node.id.to_string(),
            });
            response::json(StatusCode::OK, &json!({ "data": data }))
        }
        Err(failure) => failure.response(&node),
    }
}

/// Whether a tenant is served as it is stored, and how many users it has.
async fn state(node: &Node, id: &str) -> Result<(bool, usize), Failure> {
    match known(node, id).await {
        Ok(tenant) => Ok((!node.stored_tenants.is_unreadable(id), tenant.users())),
        // It is stored, and its secret cannot be decrypted.
        Err(failure) => match node.stored_tenants.get(id).await? {
            Some(_) if node.stored_tenants.is_unreadable(id) => Ok((false, 0)),
            _ => Err(failure),
        },
    }
}

/// The tenant of this name, if there is one.
pub(super) async fn known(node: &Node, id: &str) -> Result<Arc<Tenant>, Failure> {
    node.tenants.resolve(id).await?.ok_or(Failure::NotFound)
}

/// The name in the path. One that is not UTF-8 is that of no tenant.
pub(super) fn name(head: &RequestHead) -> String {
    head.decoded_parameter("tenant_id").map_or_else(|_not_utf8| String::new(), Into::into)
}
