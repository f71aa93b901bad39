//! What a verified token states for rooms of the Realtime SDK and for documents
//! (docs/protocol/tokens.md#claims-for-documents).

use serde_json::{Map, Value};

use super::TokenError;
use super::claims::{Claims, Fingerprint, TokenClaims, expiry, text, text_len};
use super::keys::KeyId;
use super::permissions::{Permissions, RoomAccess};
use super::token::Token;

/// The role of clients that have no user.
const ANONYMOUS: &str = "anon";

/// The role of backends: Supabase's, which bypasses the policies of a database.
const BACKEND: &str = "service_role";

/// The claims of a verified token for rooms of the Realtime SDK and for documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomClaims {
    /// The user.
    pub sub: Box<str>,
    /// The Postgres role of its holder, if it is a token of Supabase.
    pub role: Option<Box<str>>,
    /// When it expires, in seconds since 1970; `i64::MAX` for everything later.
    pub expires_at: i64,
    /// What it is restricted to.
    pub permissions: Option<Box<Permissions>>,
    /// The most that its holder may do with any document: `scope: "readonly"`, as users of Hocuspocus write it.
    pub scope: DocumentAccess,
    /// Recognises the same token when a client sends it again.
    pub fingerprint: Fingerprint,
    /// The key that signed it. Once that is removed, the token is no longer accepted.
    pub key: KeyId,
}

/// What the holder of a token may do with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentAccess {
    /// See it, and who else does.
    Read,
    /// Change it, too.
    Write,
}

/// What a tenant decides about rooms and documents where tokens leave it open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DocumentRules {
    /// Whether clients with the role `anon` may change documents (`documents.anon_may_write`).
    pub anon_may_write: bool,
    /// Whether a token without `permissions.rooms` gives no room, instead of all (`auth.require_permissions`).
    pub require_permissions: bool,
}

impl RoomClaims {
    /// What its holder may do in `room`; `None` for nothing.
    pub fn room_access(&self, room: &str, rules: &DocumentRules) -> Option<RoomAccess> {
        room_access(self.permissions.as_deref(), room, rules)
    }

    /// What its holder may do with the document `doc` of `room`; `None` for nothing. The least of what its permissions give in
    /// the room and for the document, of its scope, and of what its role may.
    pub fn document_access(&self, room: &str, doc: &str, rules: &DocumentRules) -> Option<DocumentAccess> {
        let permitted = document_access(self.permissions.as_deref(), (room, doc), rules)?;
        let is_anonymous = self.role.as_deref() == Some(ANONYMOUS);
        let of_role =
            if is_anonymous && !rules.anon_may_write { DocumentAccess::Read } else { DocumentAccess::Write };
        Some(permitted.min(self.scope).min(of_role))
    }
}

/// What `permissions` give in `room`, if they exist.
fn room_access(permissions: Option<&Permissions>, room: &str, rules: &DocumentRules) -> Option<RoomAccess> {
    match permissions {
        Some(permissions) if permissions.restricts_rooms() => permissions.in_room(room),
        _ if rules.require_permissions => None,
        _ => Some(RoomAccess::Write),
    }
}

/// What `permissions` give with the document `doc` of `room`, if they exist: the least of what they give in the room and for the
/// document.
fn document_access(
    permissions: Option<&Permissions>,
    (room, doc): (&str, &str),
    rules: &DocumentRules,
) -> Option<DocumentAccess> {
    let in_room = room_access(permissions, room, rules)?;
    let with_document = match permissions {
        Some(permissions) => permissions.with_document(room, doc)?,
        None => RoomAccess::Write,
    };
    match in_room.min(with_document) {
        RoomAccess::Presence => None,
        RoomAccess::Read => Some(DocumentAccess::Read),
        RoomAccess::Write => Some(DocumentAccess::Write),
    }
}

impl Claims {
    /// What its holder may do in `room`; `None` for nothing.
    pub fn room_access(&self, room: &str, rules: &DocumentRules) -> Option<RoomAccess> {
        room_access(self.permissions.as_deref(), room, rules)
    }

    /// What its holder may permit others to do with the document `doc` of `room`, if it is a backend; `None` for nothing.
    pub fn document_access(&self, room: &str, doc: &str, rules: &DocumentRules) -> Option<DocumentAccess> {
        document_access(self.permissions.as_deref(), (room, doc), rules)
    }

    /// Whether its holder is a backend of the application, and not one of its users.
    pub fn is_of_backend(&self) -> bool {
        *self.role == *BACKEND
    }
}

impl TokenClaims for RoomClaims {
    /// # Errors
    /// Without a `sub` or an `exp`, with permissions of another form, and for the token of an operator.
    fn of(token: &Token, key: KeyId) -> Result<Self, TokenError> {
        let claims = &token.claims;
        let sub = text(claims, "sub").ok_or(TokenError::MissingClaims("sub"))?;
        let expires_at = expiry(claims).ok_or(TokenError::MissingClaims("sub"))?;
        if claims.get("operator") == Some(&Value::Bool(true)) {
            // Users and operators may have the same secret.
            return Err(TokenError::Rejected("operator".into()));
        }
        let permissions = claims.get("permissions").map(Permissions::read).transpose()?;
        Ok(Self {
            sub,
            role: text(claims, "role"),
            expires_at,
            permissions: permissions.map(Box::new),
            scope: scope(claims),
            fingerprint: Fingerprint::of_read(token),
            key,
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn expires_at(&self) -> i64 {
        self.expires_at
    }

    fn key(&self) -> KeyId {
        self.key
    }

    fn text_bytes(&self) -> usize {
        let permissions = self.permissions.as_deref().map_or(0, Permissions::bytes);
        self.sub.len() + text_len(&self.role) + permissions
    }
}

/// `readonly` alone, among words as in OAuth (RFC 8693 §4.2), or in a list.
fn scope(claims: &Map<String, Value>) -> DocumentAccess {
    let is_readonly = match claims.get("scope") {
        Some(Value::String(words)) => words.split_whitespace().any(|word| word == "readonly"),
        Some(Value::Array(words)) => words.iter().any(|word| word == "readonly"),
        _ => false,
    };
    if is_readonly { DocumentAccess::Read } else { DocumentAccess::Write }
}
