//! Who owns rooms: keys, limits and the sockets that are connected.
//!
//! A [`Tenant`] is who somebody is and what was counted so far; it lives as long as it is configured. Its
//! [`Policy`] is what counts for it at the moment, and is exchanged while clients are connected. The
//! [`Registry`] keeps the two in step with the settings, and a change of one tenant touches no other.

mod allowance;
mod effective;
mod naming;
mod policy;
mod policy_notifier;
mod registry;
mod rolling_rate;
mod sockets;
mod tenant;
mod token_bucket;

pub use allowance::Allowance;
pub use policy::{Policy, TenantStatus};
pub use registry::Registry;
pub use sockets::{SocketRegistration, Sockets};
pub use tenant::Tenant;
