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
use crate::tenants::{DatabaseStatus, DatabaseUsability, Tenant};

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

/// `GET /api/tenants/{tenant_id}/health`
pub(super) async fn health(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = name(&request.head);
    let state = state(&node, &id).await;
    if node.settings().telemetry.log_health_checks {
        audit::log(&request.head, &id, "health", state.as_ref().err());
    }
    match state {
        Ok(health) => {
            let data = json!({
                "healthy": health.is_healthy,
                "db_connected": health.is_database_connected,
                "replication_connected": health.is_log_read,
                "connected_cluster": health.users,
                "region": node.settings().regions.name,
                "node": node.id.to_string(),
            });
            response::json(StatusCode::OK, &json!({ "data": data }))
        }
        Err(failure) => failure.response(&node),
    }
}

/// The health of a tenant.
#[derive(Default)]
struct Health {
    /// Whether it is served as it is specified, and its database can be used or is not needed now.
    is_healthy: bool,
    /// Whether this node can use its database.
    is_database_connected: bool,
    /// Whether broadcasts from its database are read, by this node or another one.
    is_log_read: bool,
    /// The users that it has on all nodes.
    users: usize,
}

impl Health {
    fn of(node: &Node, tenant: &Tenant, id: &str) -> Self {
        let status = node.database_status(&tenant.id);
        let is_database_connected = status.as_ref().is_some_and(DatabaseStatus::is_connected);
        let is_log_read = status.as_ref().is_some_and(|status| status.log.is_followed());
        let is_unavailable =
            status.is_some_and(|status| matches!(status.usability, DatabaseUsability::Unavailable(_)));
        let is_needed = tenant.users_here() > 0 && tenant.policy().database().is_some();
        Self {
            is_healthy: !node.stored_tenants.is_unreadable(id)
                && (is_database_connected || !is_unavailable && !is_needed),
            is_database_connected,
            is_log_read,
            users: tenant.users(),
        }
    }
}

async fn state(node: &Node, id: &str) -> Result<Health, Failure> {
    match known(node, id).await {
        Ok(tenant) => Ok(Health::of(node, &tenant, id)),
        // It is stored, and its secret cannot be decrypted.
        Err(failure) => match node.stored_tenants.get(id).await? {
            Some(_) if node.stored_tenants.is_unreadable(id) => Ok(Health::default()),
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
