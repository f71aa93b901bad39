//! The token with which a client opens one document. It is a token as any other of the tenant
//! (docs/protocol/tokens.md#claims-for-documents), restricted to that document.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::backend::{DescribeForm, YSweetBackend};
use super::document_id::DocumentId;
use super::refusal::YSweetRefusal;
use crate::auth::DocumentAccess;
use crate::documents::DEFAULT_DOCUMENT;

/// Seconds for which a token is valid if the request names no other number, as in y-sweet.
const VALID_FOR_SECONDS: u64 = 3_600;

/// The user of a token for which the request names none.
const UNNAMED_USER: &str = "anonymous";

/// Bytes of the id of a user.
pub(super) const USER_BYTES_MAX: usize = 256;

/// What the client may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ClientAuthorization {
    #[default]
    Full,
    ReadOnly,
}

impl ClientAuthorization {
    fn access(self) -> DocumentAccess {
        match self {
            Self::Full => DocumentAccess::Write,
            Self::ReadOnly => DocumentAccess::Read,
        }
    }

    /// The access of an entry of `permissions`.
    fn word(self) -> &'static str {
        match self {
            Self::Full => "write",
            Self::ReadOnly => "read",
        }
    }
}

/// The body of a request for a token.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientTokenRequest {
    #[serde(default)]
    pub(super) authorization: ClientAuthorization,
    user_id: Option<String>,
    valid_for_seconds: Option<u64>,
}

impl DescribeForm for ClientTokenRequest {
    const FORM: &'static str = "`authorization` is \"full\" or \"read-only\", `userId` a string, `validForSeconds` a whole number; each may be missing";
}

/// Signs the token for `id`.
pub(super) fn sign(
    backend: &YSweetBackend,
    id: &DocumentId,
    request: &ClientTokenRequest,
) -> Result<String, YSweetRefusal> {
    let user = request.user_id.as_deref().unwrap_or(UNNAMED_USER);
    if !(1..=USER_BYTES_MAX).contains(&user.len()) {
        let text = "`userId` has 1 to 256 bytes";
        return Err(YSweetRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let rules = backend.policy.document_rules();
    let permitted = backend.claims.document_access(id.as_str(), DEFAULT_DOCUMENT, &rules);
    if permitted < Some(request.authorization.access()) {
        return Err(backend.forbidden("the token of the backend does not permit this document"));
    }
    let lifetime = Duration::from_secs(request.valid_for_seconds.unwrap_or(VALID_FOR_SECONDS));
    let signed = backend.policy.sign_for_rooms(user, permissions(id, request.authorization), lifetime);
    signed.ok_or_else(|| {
        let text = "the tenant has no secret to sign tokens with (`auth.jwt_secret`): have its identity provider sign them";
        YSweetRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, text)
    })
}

/// Permits one document. An id contains no `*`, so that it is a pattern that only it matches.
fn permissions(id: &DocumentId, authorization: ClientAuthorization) -> Map<String, Value> {
    let (room, access) = (id.as_str(), authorization.word());
    let only = |pattern: String| json!([{ "pattern": pattern, "access": access }]);
    let permissions =
        json!({ "rooms": only(room.into()), "documents": only(format!("{room}/{DEFAULT_DOCUMENT}")) });
    Map::from_iter([("permissions".into(), permissions)])
}
