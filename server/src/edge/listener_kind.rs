//! Which of the listeners a connection has come in by, and so which routes it may use.

use crate::routes::Route;

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// The one at `server.host` and `server.port`, which serves all routes.
    Main,
    /// The same when operators have the internal one alone (`server.internal.exclusive`).
    Clients,
    /// The one of `[server.internal]`, for operators and the programs that watch the server.
    Internal,
}

impl ListenerKind {
    /// The kind of the main listener, by the settings.
    pub fn main(settings: &settings::Server) -> Self {
        if settings.internal.exclusive { Self::Clients } else { Self::Main }
    }

    /// Whether requests for `route` may come in by it.
    pub(super) fn serves(self, route: &Route) -> bool {
        match self {
            Self::Main => true,
            Self::Clients => !route.is_for_operators(),
            Self::Internal => route.is_internal(),
        }
    }
}
