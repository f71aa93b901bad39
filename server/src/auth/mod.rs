//! Who somebody is. A token is believed or refused here; what its holder may do with a room is asked
//! elsewhere.
//!
//! A token is read ([`token`]), its key is looked up among those *we* hold ([`keys`],
//! [`key_set`], [`jwks`]), and what it says is
//! held against our rules ([`rules`]). [`Verifier`] does the three for a tenant's users, [`Operators`]
//! for those who run the server.

mod authorizer;
mod credentials;
mod error;
pub mod jwks;
mod key_set;
mod keys;
mod operator;
mod remarks;
mod rules;
mod sign;
mod token;
mod verifier;

pub use authorizer::{AuthorizationError, Authorizer, Decision, PublicRooms};
pub use credentials::{Credentials, subprotocols};
pub use error::TokenError;
pub use key_set::check_jwks;
pub use keys::KeyId;
pub use operator::{Denied, Operator, Operators};
pub use sign::{sign, sign_operator};
pub use token::{Claims, Fingerprint};
pub use verifier::Verifier;
