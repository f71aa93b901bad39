//! Commands of operators. Each is sent to the other nodes as well, if they are connected.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use tracing::{info, warn};

use crate::bus::OperatorCommand;
use crate::node::{ChangedKeys, Node};
use crate::response;
use crate::routes::RoutedRequest;
use crate::telemetry::codes::{Code, Scope};

/// `POST /admin/reload`: reads the settings again, and responds with what changed.
pub(super) async fn reload(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    info!(sub = request.head.operator_sub(), "An operator requests a reload");
    send_to_other_nodes(&node, OperatorCommand::ReloadConfig);
    match node.reloading.reload().await {
        Some(Ok(ChangedKeys { changed, pending })) => {
            let generation = node.reloading.status().generation;
            let body = json!({ "generation": generation, "changed": changed, "pending": pending });
            response::json(StatusCode::OK, &body)
        }
        Some(Err(problems)) => {
            response::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "problems": problems }))
        }
        None => {
            let message = "This server was started without settings that can be read again";
            response::json(StatusCode::NOT_IMPLEMENTED, &json!({ "message": message }))
        }
    }
}

/// `POST /admin/tenants/<id>/disconnect`: closes the connections of a tenant (1012); clients may reconnect.
///
/// A tenant of a source may have clients on other nodes only, and is looked up before it counts as unknown.
pub(super) async fn disconnect(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let tenant = request.head.parameter("id");
    let Ok(known) = node.tenants.resolve(tenant).await else {
        let code = Code::TenantLookupFailed;
        node.reports.record(code.at(Scope::Http), code.text());
        return response::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "message": code.text() }));
    };
    match known.and_then(|_| node.disconnect_clients(tenant)) {
        Some(disconnected) => {
            send_to_other_nodes(&node, OperatorCommand::DisconnectTenant { tenant: tenant.into() });
            info!(
                sub = request.head.operator_sub(),
                tenant, disconnected, "An operator disconnects the clients of a tenant"
            );
            response::json(StatusCode::OK, &json!({ "disconnected": disconnected }))
        }
        None => {
            let code = Code::TenantNotFound;
            node.reports.record(code.at(Scope::Http), code.text());
            response::json(StatusCode::NOT_FOUND, &json!({ "message": "not found" }))
        }
    }
}

fn send_to_other_nodes(node: &Node, command: OperatorCommand) {
    if let Err(error) = node.link.broadcast(command) {
        warn!("An operator's command applies to this node only: {error}");
    }
}
