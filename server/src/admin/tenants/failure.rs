//! Responses to requests about tenants that are not done.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::invalid::Invalid;
use crate::node::Node;
use crate::response;
use crate::routes::BodyError;
use crate::store::StoreError;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::SourceUnavailable;

/// The text for [`Failure::NotNew`].
pub(super) const IS_NOT_NEW: &str = "there is such a tenant already";

/// The text for [`Failure::DoesNotExist`].
pub(super) const DOES_NOT_EXIST: &str = "there is no such tenant";

/// Why a request about a tenant is not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such tenant.
    NotFound,
    /// The body is no JSON, or has no object `tenant`.
    BadRequest,
    /// The body cannot be read.
    Body(BodyError),
    /// What the body says is invalid.
    Invalid(Invalid),
    /// The request requires that there is no such tenant, and there is one.
    NotNew,
    /// The request requires that there is such a tenant, and there is none.
    DoesNotExist,
    /// The tenant is one of the configuration, which is changed where it is written: there, if that is known.
    Configured(Option<String>),
    /// Several nodes share tenants, and this node's store is its own.
    NotShared,
    /// The store does not do it.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SourceUnavailable> for Failure {
    fn from(unavailable: SourceUnavailable) -> Self {
        Self::Store(StoreError::Unavailable(unavailable.to_string()))
    }
}

impl Failure {
    /// What it is, for the log.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::BadRequest | Self::Body(_) => "bad request",
            Self::Invalid(_) => "invalid",
            Self::NotNew => "exists",
            Self::DoesNotExist => "does not exist",
            Self::Configured(_) => "in the configuration",
            Self::NotShared => "no shared store",
            Self::Store(StoreError::Changed) => "changed at the same time",
            Self::Store(_) => "store",
        }
    }

    /// Reports it, and responds to it.
    pub(super) fn response(self, node: &Node) -> Response<Bytes> {
        let message = |status, text: &str| response::json(status, &json!({ "message": text }));
        match self {
            Self::NotFound => {
                let code = Code::TenantNotFound;
                node.reports.record(code.at(Scope::Http), code.text());
                message(StatusCode::NOT_FOUND, "not found")
            }
            Self::BadRequest => response::json(StatusCode::BAD_REQUEST, &Value::from("Bad Request")),
            Self::Body(error) => response::json(error.status(), &Value::from(error.to_string())),
            Self::Invalid(Invalid { errors }) => {
                response::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "errors": errors }))
            }
            Self::NotNew => message(StatusCode::PRECONDITION_FAILED, IS_NOT_NEW),
            Self::DoesNotExist => message(StatusCode::PRECONDITION_FAILED, DOES_NOT_EXIST),
            Self::Configured(location) => {
                let place = location.map(|place| format!(" ({place})")).unwrap_or_default();
                let text = format!(
                    "the tenant is in the configuration of the server{place}; change it there, or remove it from there first"
                );
                message(StatusCode::CONFLICT, &text)
            }
            Self::NotShared => message(
                StatusCode::CONFLICT,
                "the nodes share no store: set DATABASE_URL (`store.url`), so that what is written here exists on all of them",
            ),
            Self::Store(StoreError::Changed) => {
                message(StatusCode::CONFLICT, "others have changed the tenant at the same time; try again")
            }
            Self::Store(error @ (StoreError::Unavailable(_) | StoreError::ReadOnly(_))) => {
                let code = Code::TenantLookupFailed;
                node.reports.record(code.at(Scope::Http), &error);
                message(StatusCode::SERVICE_UNAVAILABLE, code.text())
            }
            Self::Store(error @ StoreError::Rejected(_)) => {
                let code = Code::TenantLookupFailed;
                node.reports.record(code.at(Scope::Http), &error);
                message(StatusCode::INTERNAL_SERVER_ERROR, "the store rejects this; the log says why")
            }
        }
    }
}
