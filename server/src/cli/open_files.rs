//! How many files this process may open; every connection is one.
//!
//! The soft limit is often 1,024, for programs that still use `select`. The server does not, so `serve` raises it to the
//! hard limit, and warns at the start when that is too low, not when the last clients cannot connect.

use std::num::{NonZeroU64, NonZeroUsize};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::Server;
use tracing::warn;

use crate::node::{OpenFiles, SPARE_SOCKETS};

/// Takes as many open files as the settings ask for and the system allows, and warns if they are too few for the settings
/// and so many `workers`.
pub fn raise(server: &Server, workers: NonZeroUsize) -> OpenFiles {
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
    let open_files = OpenFiles::new(allowed, workers.get());
    if let Some(warning) = warning(open_files, server) {
        warn!("{warning}");
    }
    open_files
}

/// What is wrong with `server.open_files`, if anything, whatever the system allows.
pub fn remark(server: &Server) -> Option<String> {
    let workers = server.worker_threads.unwrap_or(NonZeroUsize::MIN);
    let asked = server.open_files.map(NonZeroU64::get);
    warning(OpenFiles::new(asked, workers.get()), server)
}

/// The lower of two limits; `None` is no limit.
fn lower(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What is wrong with this limit, if anything.
fn warning(open_files: OpenFiles, server: &Server) -> Option<String> {
    let max_connections = server.max_connections;
    let sockets = max_connections.get().saturating_add(SPARE_SOCKETS);
    let needed = open_files.needed_for(sockets.saturating_add(server.extra_sockets()));
    let allowed = open_files.limit().filter(|&allowed| allowed < needed)?;
    Some(format!(
        "There may be {allowed} open files, and `server.max_connections` = {max_connections} needs {needed}: clients \
         beyond that are refused, so raise `server.open_files` and the hard limit (LimitNOFILE= in systemd, --ulimit \
         nofile= in Docker, ulimit -Hn in a shell) or lower the setting"
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
        let size = |size| NonZeroUsize::new(size).expect("not zero");
        let server = Server { max_connections: size(100), reserved_sockets: size(8), ..Server::default() };
        let needed = 100 + 1_024 + 64 + 4 + 8;
        assert_eq!(warning(OpenFiles::new(None, 1), &server), None);
        assert_eq!(warning(OpenFiles::new(Some(needed), 1), &server), None);
        let warning = warning(OpenFiles::new(Some(needed - 1), 1), &server).expect("one is missing");
        assert!(warning.contains("may be 1199 open files"), "{warning}");
        assert!(warning.contains("needs 1200"), "{warning}");
    }
}
