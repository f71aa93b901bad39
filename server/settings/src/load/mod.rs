//! Where settings come from: the layers, read, merged and checked.
//!
//! From the lowest to the highest: the defaults, the file, its `config.d/*.toml`, its `config.<env>.toml`,
//! the variables of Supabase Realtime and of the Realtime SDK, `REALTIME__SECTION__KEY`, flags. A higher layer
//! replaces keys, not sections. [`merge`] merges them, [`verify`] checks the result against the shape of the
//! structs, and only then serde reads it: serde stops at the first error and knows no lines.

mod advice;
mod effective;
mod environment;
mod files;
mod layer;
mod loaded;
mod merge;
mod misspelt;
mod near;
mod padding;
mod positions;
mod read_limits;
mod sources;
mod syntax;
mod tenant_locations;
mod tenants;
mod unread;
mod variables;
mod verify;

pub use effective::EffectiveKey;
pub use environment::environment;
pub(crate) use files::Files;
pub(crate) use layer::{Layer, Origin, literal};
pub use loaded::Loaded;
pub use near::nearest;
pub(crate) use sources::ReadLayers;
pub use sources::Sources;
