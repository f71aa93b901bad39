//! A backend of the application: the sender of a request with a token of the role `service_role`. With another one a user could sign
//! tokens for more than the user may do.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::refusal::YSweetRefusal;
use crate::auth::{Claims, Credentials};
use crate::node::{Authenticated, Node};
use crate::response;
use crate::routes::{RequestBody, RequestHead};
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::{Policy, Tenant};

/// An authenticated backend of a tenant.
pub(super) struct YSweetBackend {
    pub(super) tenant: Arc<Tenant>,
    pub(super) policy: Arc<Policy>,
    pub(super) claims: Claims,
}

impl YSweetBackend {
    /// Verifies the token of a request. From then on its time is that of its tenant.
    pub(super) async fn authenticate(node: &Node, head: &RequestHead) -> Result<Self, YSweetRefusal> {
        let token = Credentials::of(head.headers(), head.uri()).for_http();
        let authenticated = node.authenticate((head.headers(), head.uri()), token, head.client_address());
        let Authenticated { tenant, policy, claims } = authenticated.await.map_err(|refused| {
            let refusal = node.refuse_http(&refused);
            YSweetRefusal::new(refusal.status, refusal.text)
        })?;
        let backend = Self { tenant, policy, claims };
        if !backend.claims.is_of_backend() {
            return Err(backend.forbidden("the token is not one of a backend, with the role `service_role`"));
        }
        head.continue_for(backend.tenant.memory.party()).await;
        Ok(backend)
    }

    /// Reads the body, a JSON object. Without one it is empty.
    pub(super) async fn read<T: DeserializeOwned + DescribeForm>(
        &self,
        body: RequestBody,
    ) -> Result<T, YSweetRefusal> {
        let body = body.read(&self.tenant.memory).await?;
        let object: Map<String, Value> = if body.is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(&body).map_err(|_error| YSweetRefusal::not_an_object())?
        };
        let read = serde_json::from_value(Value::Object(object));
        read.map_err(|_error| YSweetRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, T::FORM))
    }

    /// Reports that the token does not permit what is asked for.
    pub(super) fn forbidden(&self, text: &'static str) -> YSweetRefusal {
        self.tenant.reports.record(Code::Unauthorized.at(Scope::Http), text);
        YSweetRefusal::new(StatusCode::FORBIDDEN, text)
    }

    /// The response with this body, or the refusal.
    pub(super) fn respond(&self, answer: Result<Value, YSweetRefusal>) -> Response<Bytes> {
        let mut response = match answer {
            Ok(body) => response::json(StatusCode::OK, &body),
            Err(refusal) => refusal.response(),
        };
        self.tenant.reports.attribute(&mut response);
        response
    }
}

/// A body whose sender can be referred to its form.
pub(super) trait DescribeForm {
    /// What its members have to be.
    const FORM: &'static str;
}
