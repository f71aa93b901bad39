//! What an operator can ask for or order, with a token of `[admin]`.
//!
//! | | |
//! |---|---|
//! | `GET /metrics` | numbers; open to everybody, or for tokens of its own |
//! | `GET /status` | what the server is doing |
//! | `POST /admin/reload` | reads the settings again, now, and says what came of it |
//! | `POST /admin/tenants/<id>/disconnect` | sends the clients of a tenant away (1012); they may come back |
//!
//! What is ordered here is done by the other nodes too, if they can be reached.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use tracing::{info, warn};

use super::{metrics, status};
use crate::auth::{Denied, Operator};
use crate::bus::OperatorCommand;
use crate::node::{Changes, Node};
use crate::response;
use crate::telemetry::codes::{Code, Scope};

/// Something that can be asked for.
enum Order<'a> {
    Status,
    Reload,
    Disconnect { tenant: &'a str },
}

impl<'a> Order<'a> {
    fn at(path: &[&'a str]) -> Option<Self> {
        Some(match path {
            ["status"] => Self::Status,
            ["admin", "reload"] => Self::Reload,
            ["admin", "tenants", tenant, "disconnect"] => Self::Disconnect { tenant },
            _ => return None,
        })
    }

    /// The methods it is asked for with, as the header `allow` lists them.
    fn methods(&self) -> &'static str {
        match self {
            Self::Status => "GET, HEAD",
            Self::Reload | Self::Disconnect { .. } => "POST",
        }
    }
}

/// Answers what only operators may ask; `None` if there is nothing at `path`.
pub async fn answer(
    node: &Node,
    method: &Method,
    path: &[&str],
    headers: &HeaderMap,
) -> Option<Response<Bytes>> {
    if path == ["metrics"] {
        let asks = matches!(*method, Method::GET | Method::HEAD);
        return asks.then(|| metrics::metrics(node, headers));
    }
    let order = Order::at(path)?;
    if !order.methods().split(", ").any(|allowed| allowed == method.as_str()) {
        return Some(wrong_method(order.methods()));
    }
    let operator = match node.operators().admit(headers, SystemTime::now()) {
        Ok(operator) => operator,
        Err(why) => {
            node.reports.record(Code::OperatorDenied.at(Scope::Http), &why);
            return Some(denied(&why));
        }
    };
    Some(match order {
        Order::Status => response::json(StatusCode::OK, &status::of(node)),
        Order::Reload => reload(node, &operator).await,
        Order::Disconnect { tenant } => disconnect(node, &operator, tenant),
    })
}

/// Not with this method. `allowed` lists those that would do.
pub fn wrong_method(allowed: &'static str) -> Response<Bytes> {
    let mut response = response::json(StatusCode::METHOD_NOT_ALLOWED, &"Method Not Allowed".into());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// 401 with the reason, and the scheme that would do (RFC 9110 §11.6.1).
fn denied(why: &Denied) -> Response<Bytes> {
    let message = match why {
        Denied::Closed => "Closed: set `admin.jwt_secret` (or the variable API_JWT_SECRET)".to_owned(),
        why => why.to_string(),
    };
    let mut response = response::json(StatusCode::UNAUTHORIZED, &json!({ "message": message }));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

async fn reload(node: &Node, operator: &Operator) -> Response<Bytes> {
    info!(sub = operator.sub(), "An operator asks for a reload");
    pass_on(node, OperatorCommand::ReadAgain);
    match node.reloading.reload().await {
        Some(Ok(Changes { changed, pending })) => {
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

fn pass_on(node: &Node, control: OperatorCommand) {
    if let Err(why) = node.link.broadcast(control) {
        warn!("An operator's order counts for this node alone: {why}");
    }
}

fn disconnect(node: &Node, operator: &Operator, tenant: &str) -> Response<Bytes> {
    match node.disconnect_clients(tenant) {
        Some(disconnected) => {
            pass_on(node, OperatorCommand::SendAway { tenant: tenant.into() });
            info!(
                sub = operator.sub(),
                tenant, disconnected, "An operator sends the clients of a tenant away"
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
