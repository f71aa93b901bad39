//! How many files the system lets this process open; every connection is one.
//!
//! The soft limit is often 1,024, for the sake of programs that still use `select`. We do not, so `serve` takes
//! what it may have, and says at once when that is too little, not when the last clients find no place.

use std::num::NonZeroU64;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::Server;
use tracing::warn;

use crate::node::SPARE_SOCKETS;

/// Files besides sockets: logs, libraries, the runtime's own.
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
    // macOS refuses a soft limit without end.
    let allowed = if raised.is_ok() { wanted } else { limit.current };
    if let Some(complaint) = complaint(allowed, server.max_connections.get()) {
        warn!("{complaint}");
    }
}

/// The lower of two limits; `None` is no limit.
fn lower(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What is wrong with this limit; `None` is no limit.
fn complaint(allowed: Option<u64>, max_connections: usize) -> Option<String> {
    let needed = max_connections.saturating_add(SPARE_SOCKETS + SPARE_FILES);
    let allowed = allowed.filter(|&allowed| allowed < needed as u64)?;
    Some(format!(
        "The system allows {allowed} open files, and `server.max_connections` = {max_connections} needs {needed}: \
         clients beyond that wait at the door until others leave, so raise the hard limit (LimitNOFILE= in \
         systemd, --ulimit nofile= in Docker, ulimit -Hn in a shell) or lower the setting"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_lower_one_counts() {
        assert_eq!(lower(None, None), None);
        assert_eq!(lower(Some(5), None), Some(5));
        assert_eq!(lower(Some(5), Some(3)), Some(3));
    }

    #[test]
    fn a_limit_below_all_connections_and_the_spare_ones_is_complained_about() {
        assert_eq!(complaint(None, usize::MAX), None);
        assert_eq!(complaint(Some(100 + 1_024 + 64), 100), None);
        let complaint = complaint(Some(100 + 1_024 + 63), 100).expect("one is missing");
        assert!(complaint.contains("allows 1187 open files"), "{complaint}");
        assert!(complaint.contains("needs 1188"), "{complaint}");
    }
}
