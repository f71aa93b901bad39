//! Which tokens are accepted, and which rooms their holders may join ([`Authorizer`]).
//!
//! A token is parsed ([`token`]), its signature is verified with a configured key ([`keys`], [`key_set`], [`jwks`]),
//! and its claims are checked ([`rules`]). [`Verifier`] does so for a tenant's users, [`Operators`] for operators.

mod authorizer;
mod claims;
mod credentials;
mod error;
mod headers;
pub mod jwks;
mod key_set;
mod keys;
mod operator;
mod permissions;
mod question_turns;
mod room_claims;
mod rules;
mod sign;
mod token;
mod unverified;
mod verifier;
mod warnings;

pub use authorizer::{
    AuthorizationError, Authorized, Authorizer, Decision, Freshness, NO_CHANNEL_MEMORY, PublicRooms,
    Question, Rights, traced,
};
pub use claims::{Claims, Fingerprint, TokenClaims};
pub use credentials::{Credentials, confirmed_subprotocol, subprotocols};
pub use error::TokenError;
pub use headers::headers_as_json;
pub use key_set::check_jwks;
pub use keys::KeyId;
pub use operator::{Denied, Operator, Operators, bearer};
pub use permissions::{Permissions, PermissionsError, RoomAccess};
pub use question_turns::{QuestionTurn, QuestionTurns};
pub use room_claims::{DocumentAccess, DocumentRules, RoomClaims};
pub use sign::{
    sign, sign_for_rooms, sign_operator, signing_secret, with_users_claims, with_validated_claims,
};
pub use unverified::UnverifiedCallers;
pub use verifier::Verifier;
