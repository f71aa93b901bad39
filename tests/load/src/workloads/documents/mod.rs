//! Shared documents, beside y-sweet and Hocuspocus.
//!
//! | file | what is measured |
//! |---|---|
//! | `typing` | many documents whose editors type by the clock; the same on a slow disk |
//! | `crowd` | one document with many editors, as fast as it goes |
//!
//! | file | what they have in common |
//! |---|---|
//! | `service` | our server, and the programs it is compared with |
//! | `editors`, `yjs` | the clients, and their bytes |
//! | `syncs` | syncs of files, counted and delayed |

mod crowd;
mod editors;
mod service;
mod syncs;
mod typing;
mod yjs;

use super::Bench;

pub use self::crowd::run as crowd;
pub use self::typing::{run as typing, slow_disk};
