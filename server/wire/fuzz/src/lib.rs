//! Properties that hold for any bytes: the bodies of the fuzz targets.
//!
//! Nothing panics; what is accepted is what a plain reader reads; and that reader reads what is written from it. `cargo test -p wire` includes these files to replay
//! the corpus through them, so they use nothing but `wire`, `hub`, `serde_json` and `yrs`.

mod bindings;
mod envelope;
pub mod payload;
mod pgoutput;
pub mod reader;
mod relay;
mod shared_documents;
mod values;

pub use bindings::binding;
pub use envelope::{decode_binary, decode_text_v1, decode_text_v2};
pub use payload::{join_request, presence_call, presence_meta, term_size, token_refresh};
pub use pgoutput::pgoutput;
pub use relay::{relay_entry, relay_message};
pub use shared_documents::{
    awareness_update, document_update, document_updates, hocuspocus, lib0, state_vector, y_websocket,
};
pub use values::values;

/// Panics if a property does not hold for these bytes.
pub type Check = fn(&[u8]);

/// Each target under the name of its folder in `corpus`.
pub const TARGETS: [(&str, Check); 20] = [
    ("awareness_update", awareness_update),
    ("binding", binding),
    ("decode_text_v1", decode_text_v1),
    ("decode_text_v2", decode_text_v2),
    ("decode_binary", decode_binary),
    ("document_update", document_update),
    ("document_updates", document_updates),
    ("hocuspocus", hocuspocus),
    ("join_request", join_request),
    ("lib0", lib0),
    ("pgoutput", pgoutput),
    ("presence_call", presence_call),
    ("presence_meta", presence_meta),
    ("relay_entry", relay_entry),
    ("relay_message", relay_message),
    ("state_vector", state_vector),
    ("term_size", term_size),
    ("token_refresh", token_refresh),
    ("values", values),
    ("y_websocket", y_websocket),
];
