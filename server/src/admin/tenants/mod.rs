//! Tenants over HTTP: what a request may write, and how a tenant is shown. The rules neither wait nor read the store.
//!
//! Names, texts and rules are upstream's, which operators and their scripts know. Ours are the bounds: upstream responds
//! to most values beyond them with 500.

mod audit;
mod cast;
mod changeset;
mod description;
mod extensions;
mod external_id;
mod failure;
mod invalid;
mod precondition;
mod read;
mod representation;
mod routes;
mod secrets;
mod seed;
mod write;

pub use self::routes::routes;
pub use self::seed::{SeedError, Seeded, seed};
