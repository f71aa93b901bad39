//! What clients of Yjs send each other, whatever the protocol around it: sync messages, state vectors, updates, awareness.
//!
//! Everything is a view of the received bytes that has been read once, to its end. Counts are compared with what is left,
//! text is UTF-8, clocks stay below [`CLOCK_MAX`], and bytes after a valid message are an error. This protects the
//! library that keeps the documents, yrs: it takes text unchecked, reserves space for claimed counts, lets clocks wrap
//! around and follows nested values by recursion, and what it reads differently from the clients is refused.
//!
//! Only version 1 of updates is used on the wire.
//!
//! Sources: y-protocols 1.0.7 (`sync.js`, `awareness.js`), Yjs 13.6.33 (`encoding.js`, `updates.js`, `structs/`), yrs
//! 0.27.4 (`update.rs`, `block.rs`, `any.rs`, `id_set.rs`).

mod awareness;
mod error;
mod fields;
mod state_vector;
mod sync;
mod update;

pub use awareness::{AwarenessEntry, AwarenessUpdate};
pub use error::YjsError;
pub use fields::CLOCK_MAX;
pub use state_vector::StateVector;
pub use sync::SyncMessage;
pub use update::{
    ANY_DEPTH_MAX, ClientSection, DeletedRange, DocumentUpdate, TYPE_DEPTH_MAX, concatenate, type_depth,
};
