//! What operators change about tenants. Each change is durable and applies on this node when it is answered; the other nodes
//! are notified. Each is a line in the log, whatever its outcome.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use tracing::warn;

use super::failure::Failure;
use super::invalid::{FieldError, Invalid};
use super::precondition::Precondition;
use super::representation::representation;
use super::{audit, changeset, external_id, read};
use crate::bus::OperatorCommand;
use crate::node::Node;
use crate::response;
use crate::routes::{RequestBody, RequestHead, RoutedRequest};
use crate::tenants::{WriteError, Written};

/// `POST /api/tenants`
pub(super) async fn post(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let body = read_body(&node, body).await;
    to_the_end(async move {
        let written = match body {
            Ok(body) => {
                let id = external_id::in_body(&body).to_owned();
                (write(&node, &id, &body, Precondition::of(head.headers())).await, id)
            }
            Err(failure) => (Err(failure), String::new()),
        };
        respond(&node, &head, written)
    })
    .await
}

/// `PUT /api/tenants/{tenant_id}`, and PATCH.
pub(super) async fn put(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let id = read::name(&head);
    let body = read_body(&node, body).await;
    to_the_end(async move {
        let written = match body {
            Ok(body) => write(&node, &id, &body, Precondition::of(head.headers())).await,
            Err(failure) => Err(failure),
        };
        respond(&node, &head, (written, id))
    })
    .await
}

/// `DELETE /api/tenants/{tenant_id}`: 204, whether or not there was one, unless the request requires one.
pub(super) async fn delete(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = read::name(&request.head);
    to_the_end(async move {
        let deleted = delete_tenant(&node, &id, Precondition::of(request.head.headers())).await;
        audit::log(&request.head, &id, "delete", deleted.as_ref().err());
        match deleted {
            Ok(()) => response::empty(StatusCode::NO_CONTENT),
            Err(failure) => failure.response(&node),
        }
    })
    .await
}

/// `POST /api/tenants/{tenant_id}/reload`
pub(super) async fn reload(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = read::name(&request.head);
    let reloaded = reload_tenant(&node, &id).await;
    audit::log(&request.head, &id, "reload", reloaded.as_ref().err());
    match reloaded {
        Ok(()) => response::empty(StatusCode::NO_CONTENT),
        Err(failure) => failure.response(&node),
    }
}

/// `POST /api/tenants/{tenant_id}/shutdown`
pub(super) async fn shutdown(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = read::name(&request.head);
    let known = read::known(&node, &id).await;
    audit::log(&request.head, &id, "shutdown", known.as_ref().err());
    match known {
        Ok(_) => {
            shut_down_database(&node, &id);
            response::empty(StatusCode::NO_CONTENT)
        }
        Err(failure) => failure.response(&node),
    }
}

/// Closes the connections to the database of a tenant, on all nodes.
fn shut_down_database(node: &Node, id: &str) {
    node.shut_down_database(id);
    send_to_other_nodes(node, OperatorCommand::ShutDownDatabase { tenant: id.into() });
}

async fn reload_tenant(node: &Arc<Node>, id: &str) -> Result<(), Failure> {
    read::known(node, id).await?;
    node.stored_tenants.apply(&node.tenants, id).await?;
    send_to_other_nodes(node, OperatorCommand::TenantChanged { tenant: id.into() });
    shut_down_database(node, id);
    node.disconnect_clients(id);
    send_to_other_nodes(node, OperatorCommand::DisconnectTenant { tenant: id.into() });
    Ok(())
}

/// Runs a change as a task of its own. When the client closes its connection, hyper drops the future of its request: a
/// change that is stored already would neither apply nor be in the log.
async fn to_the_end(change: impl Future<Output = Response<Bytes>> + Send + 'static) -> Response<Bytes> {
    let task = tokio::spawn(change);
    task.await.unwrap_or_else(|_panicked| response::empty(StatusCode::INTERNAL_SERVER_ERROR))
}

/// The object at `tenant` in a body.
async fn read_body(node: &Node, body: RequestBody) -> Result<Map<String, Value>, Failure> {
    let body = body.read(&node.common_memory).await.map_err(Failure::Body)?;
    let (bytes, _charge) = body.into_parts();
    let length = bytes.len();
    let parse = move || serde_json::from_slice::<Value>(&bytes);
    let parsed = node.offload.run(node.common_memory.party(), length, parse).await;
    match parsed.map_err(|_no_json| Failure::BadRequest)? {
        Value::Object(mut body) => match body.remove("tenant") {
            Some(Value::Object(tenant)) => Ok(tenant),
            _ => Err(Failure::BadRequest),
        },
        _ => Err(Failure::BadRequest),
    }
}

async fn write(
    node: &Arc<Node>,
    id: &str,
    body: &Map<String, Value>,
    precondition: Precondition,
) -> Result<Written, Failure> {
    check_writable(node, id)?;
    check_secret(node, id, body)?;
    let defaults = node.settings().limits.clone();
    let edit = |existing: Option<&_>| {
        precondition.check(existing)?;
        changeset::apply(body, existing, id, node.stored_tenants.keys(), &defaults).map_err(Failure::Invalid)
    };
    let written = node.stored_tenants.write(id, edit).await.map_err(|error| match error {
        WriteError::Refused(failure) => failure,
        WriteError::Store(error) => Failure::Store(error),
    })?;
    apply(node, id).await;
    Ok(written)
}

async fn delete_tenant(node: &Arc<Node>, id: &str, precondition: Precondition) -> Result<(), Failure> {
    check_writable(node, id)?;
    if precondition == Precondition::IsNew {
        return precondition.check(node.stored_tenants.get(id).await?.as_ref());
    }
    if !node.stored_tenants.delete(id).await? {
        return precondition.check(None::<&()>);
    }
    apply(node, id).await;
    shut_down_database(node, id);
    Ok(())
}

/// Refuses a secret of operators as that of users: their tokens without a `role` would be taken for operators'. The tenant that
/// is seeded has it in Supabase's installations, and there claims distinguish them.
fn check_secret(node: &Node, id: &str, body: &Map<String, Value>) -> Result<(), Failure> {
    let settings = node.settings();
    let is_seeded = settings.seed.tenant.as_deref().is_some_and(|seeded| seeded.eq_ignore_ascii_case(id));
    let given = body.get("jwt_secret").and_then(Value::as_str).unwrap_or_default();
    let admin = &settings.admin;
    let mut of_operators = admin.jwt_secret.iter().chain(&admin.jwt_secrets).chain(&admin.metrics_jwt_secret);
    if !is_seeded && of_operators.any(|secret| secret.expose_secret() == given) {
        return Err(Failure::Invalid(Invalid::field("jwt_secret", FieldError::OfOperators)));
    }
    Ok(())
}

/// Refuses what would be written and not apply.
fn check_writable(node: &Node, id: &str) -> Result<(), Failure> {
    let settings = node.settings();
    let tenants = settings.every_tenant();
    if let Some(configured) = tenants.keys().find(|configured| configured.eq_ignore_ascii_case(id)) {
        return Err(Failure::Configured(node.reloading.tenant_location(configured)));
    }
    if settings.bus.redis_url.is_some() && !settings.store.is_shared() {
        return Err(Failure::NotShared);
    }
    Ok(())
}

/// Makes what is stored apply, here and on the other nodes. What fails here is tried again by the task that follows changes.
pub(super) async fn apply(node: &Arc<Node>, id: &str) {
    if let Err(error) = node.stored_tenants.apply(&node.tenants, id).await {
        warn!(tenant = id, "A change that is stored does not apply on this node yet: {error}");
        node.stored_tenants.note_change(id);
    }
    send_to_other_nodes(node, OperatorCommand::TenantChanged { tenant: id.into() });
}

fn send_to_other_nodes(node: &Node, command: OperatorCommand) {
    if let Err(error) = node.link.broadcast(command) {
        warn!(
            "Other nodes are not notified, and notice a change of a tenant within `store.refresh`: {error}"
        );
    }
}

fn respond(
    node: &Node,
    head: &RequestHead,
    (written, id): (Result<Written, Failure>, String),
) -> Response<Bytes> {
    let action = match &written {
        Ok(Written::Created(_)) => "create",
        Ok(Written::Updated(_)) => "update",
        Err(_) => "write",
    };
    audit::log(head, &id, action, written.as_ref().err());
    let (status, tenant) = match written {
        Ok(Written::Created(tenant)) => (StatusCode::CREATED, tenant),
        Ok(Written::Updated(tenant)) => (StatusCode::OK, tenant),
        Err(failure) => return failure.response(node),
    };
    let mut response = response::json(status, &json!({ "data": representation(&tenant) }));
    if let Ok(location) = HeaderValue::try_from(format!("/api/tenants/{}", tenant.external_id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
