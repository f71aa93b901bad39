//! Faults under shared documents, each with the real program and a real store: what was acknowledged stays, nothing is acknowledged
//! that is not stored, and what cannot be read is an error and never an empty document.
//!
//! `DOCUMENT_KILLS` sets how often server and writers are killed, for each store.

mod backup;
mod damage;
mod disk_full;
#[expect(dead_code, reason = "the tests of documents on one program use the rest")]
#[path = "../../../tests/e2e/documents/editor.rs"]
mod editor;
mod kills;
mod outage;
mod program;
mod shim;
mod syncs;
mod writer;
