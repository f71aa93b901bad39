//! The wire formats, as docs/protocol describes them.
//!
//! One binary, because linking several takes longer than running them. The reader and the checks are those of the fuzz
//! targets.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

mod binary;
mod bindings;
mod broadcast;
mod concatenation;
mod corpus;
mod document_update;
mod documents;
mod hocuspocus;
mod join;
mod pairs;
mod pgoutput;
mod presence;
mod properties;
mod relay;
mod row_changes;
mod sessions;
mod term_size;
mod type_depth;
mod values;
mod y_websocket;
mod yjs;
