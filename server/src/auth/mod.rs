//! Who somebody is. A token is believed or refused here; what its holder may do with a room is asked
//! elsewhere.

pub mod token;

pub use token::{Claims, Fingerprint, TokenError, Verifier};
