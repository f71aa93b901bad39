//! What operators change about tenants. Each change is durable and applies on this node when it is answered; the other nodes
//! are notified. Each is a line in the log, whatever its outcome.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::failure::Failure;
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
    let written = match read_body(&node, body).await {
        Ok(body) => {
            let id = external_id::in_body(&body).to_owned();
            (write(&node, &id, &body, Precondition::of(head.headers())).await, id)
        }
        Err(failure) => (Err(failure), String::new()),
    };
    respond(&node, &head, written)
}

/// `PUT /api/tenants/{tenant_id}`, and PATCH.
pub(super) async fn put(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let id = read::name(&head);
    let written = match read_body(&node, body).await {
        Ok(body) => write(&node, &id, &body, Precondition::of(head.headers())).await,
        Err(failure) => Err(failure),
    };
    respond(&node, &head, (written, id))
}

/// `DELETE /api/tenants/{tenant_id}`: 204, whether or not there was one, unless the request requires one.
pub(super) async fn delete(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = read::name(&request.head);
    let deleted = delete_tenant(&node, &id, Precondition::of(request.head.headers())).await;
    audit::log(&request.head, &id, "delete", deleted.as_ref().err());
    match deleted {
        Ok(()) => response::empty(StatusCode::NO_CONTENT),
        Err(failure) => failure.response(&node),
    }
}

/// `POST /api/tenants/{tenant_id}/reload`
pub(super) async fn reload(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let id = read::name(&request.head);
    let known = read::known(&node, &id).await;
    audit::log(&request.head, &id, "reload", known.as_ref().err());
    match known {
        Ok(_) => {
            apply(&node, &id).await;
            node.disconnect_clients(&id);
            send_to_other_nodes(&node, OperatorCommand::DisconnectTenant { tenant: id });
            response::empty(StatusCode::NO_CONTENT)
        }
        Err(failure) => failure.response(&node),
    }
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
    if !node.stored_tenants.delete(id).await? {
        return precondition.check(None::<&()>);
    }
    apply(node, id).await;
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

/// Makes what is stored apply, here and on the other nodes. What fails here, the next refresh of this or the other node does.
pub(super) async fn apply(node: &Arc<Node>, id: &str) {
    let _logged = node.stored_tenants.apply(&node.tenants, id).await;
    send_to_other_nodes(node, OperatorCommand::TenantChanged { tenant: id.into() });
}

fn send_to_other_nodes(node: &Node, command: OperatorCommand) {
    if let Err(error) = node.link.broadcast(command) {
        warn!("The other nodes notice a change of a tenant within `store.refresh` only: {error}");
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
