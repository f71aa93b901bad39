//! How many files this process may open; every connection is one.
//!
//! The soft limit is often 1,024, for programs that still use `select`. The server does not, so `serve` raises it to the
//! hard limit, and warns at the start when that is too low, not when the last clients cannot connect.

use std::num::NonZeroU64;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::Server;
use tracing::warn;

use crate::node::SPARE_SOCKETS;

/// Files besides sockets: logs, libraries, those of the runtime.
const SPARE_FILES: usize = 64;

/// Takes as many open files as the settings ask for and the system allows, and warns if they are too few.
pub fn raise(server: &Server) {
    let limit = getrlimit(Resource::Nofile);
    let asked = server.open_files.map(NonZeroU64::get);
    if let (Some(asked), Some(most)) = (asked, limit.maximum)
        && asked > most
    {
        warn!("`server.open_files` = {asked} is more than the system allows: {most}");
    }
    let wanted = lower(asked, limit.maximum);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: wanted, ..limit });
    // macOS refuses an unlimited soft limit.
    let allowed = if raised.is_ok() { wanted } else { limit.current };
    if let Some(warning) = warning(allowed, server.max_connections.get(), server.reserved_sockets.get()) {
        warn!("{warning}");
    }
}

/// The lower of two limits; `None` is no limit.
fn lower(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What is wrong with this limit, if anything; a limit of `None` is no limit.
fn warning(allowed: Option<u64>, max_connections: usize, reserved_sockets: usize) -> Option<String> {
    let others = reserved_sockets.saturating_add(SPARE_SOCKETS + SPARE_FILES);
    let needed = max_connections.saturating_add(others);
    let allowed = allowed.filter(|&allowed| allowed < needed as u64)?;
    Some(format!(
        "The system allows {allowed} open files, and `server.max_connections` = {max_connections} needs {needed}: \
         clients beyond that wait to be accepted until others leave, so raise the hard limit (LimitNOFILE= in \
         systemd, --ulimit nofile= in Docker, ulimit -Hn in a shell) or lower the setting"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_lower_one_applies() {
        assert_eq!(lower(None, None), None);
        assert_eq!(lower(Some(5), None), Some(5));
        assert_eq!(lower(Some(5), Some(3)), Some(3));
    }

    #[test]
    fn a_limit_below_all_connections_and_the_spare_ones_is_warned_about() {
        assert_eq!(warning(None, usize::MAX, 1), None);
        assert_eq!(warning(Some(100 + 1_024 + 64 + 8), 100, 8), None);
        let warning = warning(Some(100 + 1_024 + 63 + 8), 100, 8).expect("one is missing");
        assert!(warning.contains("allows 1195 open files"), "{warning}");
        assert!(warning.contains("needs 1196"), "{warning}");
    }
}
