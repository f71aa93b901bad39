//! Shared documents, beside y-sweet and Hocuspocus.
//!
//! | file | what is measured |
//! |---|---|
//! | `typing` | many documents whose editors type by the clock; the same on a slow disk |
//! | `crowd` | one document with many editors, as fast as it goes |
//! | `cold` | the first open of a large document |
//! | `idle` | the memory of documents that are not used |
//! | `stored` | a start, and an open, with many documents in the store |
//!
//! | file | what they have in common |
//! |---|---|
//! | `service` | our server, and the programs it is compared with |
//! | `editors`, `client`, `yjs` | the clients: many at once, one that waits, bytes |
//! | `syncs` | syncs of files, counted and delayed |

mod client;
mod cold;
mod crowd;
mod editors;
mod idle;
mod service;
mod stored;
mod syncs;
mod typing;
mod yjs;

use super::Bench;

pub use self::cold::run as cold;
pub use self::crowd::run as crowd;
pub use self::idle::run as idle;
pub use self::stored::run as stored;
pub use self::typing::{run as typing, slow_disk};
