//! What can be configured. One struct and one file per section; the struct is the truth.
//!
//! A default stands in `Default` and nowhere else, the meaning and unit in the doc comment, and whether
//! a running server picks a change up in the `x-reload` mark («live» or «restart»). Types check what one
//! key can get wrong, [`Settings::check`] what takes two.
//!
//! Names that Supabase Realtime also has are spelled as there (`max_channels_per_client`).

mod auth;
mod broadcast;
mod check;
mod limits;
mod load;
mod outbox;
mod presence;
mod server;
mod telemetry;
mod units;

pub use auth::Auth;
pub use broadcast::Broadcast;
pub use bytesize::ByteSize;
pub use check::Problem;
pub use limits::Limits;
pub use load::{LoadError, environment, load};
pub use outbox::Outbox;
pub use presence::Presence;
pub use server::Server;
pub use telemetry::{LogFormat, LogLevel, Telemetry};
pub use units::{format_duration, parse_duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything the server can be told, section by section.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where clients knock, how many may be inside, and how long we wait for them.
    pub server: Server,
    /// Which tokens of the default tenant are believed.
    pub auth: Auth,
    /// What the clients of the default tenant may use.
    pub limits: Limits,
    /// What may wait for a client that reads slowly.
    pub outbox: Outbox,
    /// Who is in a room, and how soon the others hear of it.
    pub presence: Presence,
    /// Broadcasts sent over HTTP.
    pub broadcast: Broadcast,
    /// What the server says about itself.
    pub telemetry: Telemetry,
}
