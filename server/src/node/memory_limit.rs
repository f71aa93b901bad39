//! How much memory this process may use: as the settings say, or a part of what the container or the machine has.
//!
//! A container's limit is that of its control group and of every group above it, version 1 or 2. It includes memory of the
//! kernel, such as socket buffers, and an allocator returns memory late; so the default is half of it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use settings::ByteSize;

/// What a process without clients uses: the program, its threads, the settings. Not available to clients.
const PROCESS_BYTES: usize = 24 << 20;

/// The divisor of the part of the rest that is for memory that was freed and that the allocator keeps for some seconds.
const ALLOCATOR_DIVISOR: usize = 4;

/// The divisor of the part of the rest that clients have whatever is set aside.
const CLIENTS_DIVISOR: usize = 4;

/// The part of the memory found that is the default of `server.memory_budget`.
const DEFAULT_DIVISOR: u64 = 2;

/// Assumed where nothing can be found, as outside Linux.
const FALLBACK: u64 = 1 << 30;

/// A limit of the memory of this process, with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    bytes: u64,
    source: Source,
}

/// Where a limit is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Setting,
    ControlGroup { bytes: u64 },
    Machine { bytes: u64 },
    Nowhere,
}

impl MemoryLimit {
    /// The limit under these settings, on this machine as it is now. Reads small files of `/proc` and `/sys`.
    pub fn of(settings: &settings::Server) -> Self {
        match settings.memory_budget {
            Some(budget) => Self { bytes: budget.as_u64(), source: Source::Setting },
            None => Self::found_below(Path::new("/")),
        }
    }

    /// All bytes.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// Where it is from, in words.
    pub fn source(self) -> String {
        match self.source {
            Source::Setting => "server.memory_budget".into(),
            Source::Nowhere => "the machine's memory is unknown".into(),
            found => format!("half of {found}"),
        }
    }

    /// The memory that exists, if the limit is more than that.
    pub(super) fn beyond_what_exists(self) -> Option<impl fmt::Display> {
        let existing = Source::found_below(Path::new("/"));
        existing.bytes().filter(|bytes| *bytes < self.bytes).map(|_| existing)
    }

    /// The bytes that clients may cause, when so many are set aside for what they share. That may be more than there is after
    /// a reload: a queue has the bound of the start.
    pub(super) fn for_clients(self, set_aside: usize) -> usize {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let beside_process = bytes.saturating_sub(PROCESS_BYTES);
        let rest = beside_process.saturating_sub(set_aside);
        (rest - rest / ALLOCATOR_DIVISOR).max(beside_process / CLIENTS_DIVISOR)
    }

    fn found_below(root: &Path) -> Self {
        let source = Source::found_below(root);
        Self { bytes: source.bytes().unwrap_or(FALLBACK) / DEFAULT_DIVISOR, source }
    }
}

impl Source {
    /// The memory that exists.
    fn found_below(root: &Path) -> Self {
        let machine = machine_memory(root);
        let group = control_group_limit(root).filter(|limit| machine.is_none_or(|all| *limit < all));
        match (group, machine) {
            (Some(bytes), _) => Self::ControlGroup { bytes },
            (None, Some(bytes)) => Self::Machine { bytes },
            (None, None) => Self::Nowhere,
        }
    }

    /// How much was found.
    fn bytes(self) -> Option<u64> {
        match self {
            Self::ControlGroup { bytes } | Self::Machine { bytes } => Some(bytes),
            Self::Setting | Self::Nowhere => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting => out.write_str("server.memory_budget"),
            Self::ControlGroup { bytes } => write!(out, "the container's {}", ByteSize::b(*bytes)),
            Self::Machine { bytes } => write!(out, "the machine's {}", ByteSize::b(*bytes)),
            Self::Nowhere => out.write_str("an unknown amount"),
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", ByteSize::b(self.bytes), self.source())
    }
}

/// `MemTotal` of `/proc/meminfo`.
fn machine_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The least limit of the control groups of this process.
fn control_group_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| least_limit(root, line)).min()
}

/// The least limit of the group in this line of `/proc/self/cgroup`, `0::/path` or `4:memory:/path`, and of those above it.
/// Inside a container the path may be that of the host, and the group itself is mounted at the top.
fn least_limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        names if names.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mount = root.join(mount);
    let group = mount.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(&mount)).map(PathBuf::from);
    // «max», and a number near 2^63 in version 1, mean that there is no limit.
    groups.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit on a machine of 8 GB with these files.
    fn found(files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in
            [("proc/meminfo", "MemFree: 1 kB\nMemTotal:        7812500 kB\n")].iter().chain(files)
        {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        }
        MemoryLimit::found_below(root.path()).to_string()
    }

    #[test]
    fn the_least_limit_applies() {
        let machine = "3.7 GiB (half of the machine's 7.5 GiB)";
        assert_eq!(found(&[]), machine);
        let own = ("proc/self/cgroup", "0::/kubepods/pod7/server\n");
        assert_eq!(found(&[own, ("sys/fs/cgroup/kubepods/memory.max", "max\n")]), machine);
        let container = ("sys/fs/cgroup/kubepods/pod7/server/memory.max", "536870912\n");
        let pod = ("sys/fs/cgroup/kubepods/pod7/memory.max", "268435456\n");
        assert_eq!(found(&[own, container]), "256.0 MiB (half of the container's 512.0 MiB)");
        assert_eq!(found(&[own, container, pod]), "128.0 MiB (half of the container's 256.0 MiB)");
        let at_the_top = ("sys/fs/cgroup/memory.max", "536870912\n");
        assert_eq!(found(&[own, at_the_top]), "256.0 MiB (half of the container's 512.0 MiB)");
    }

    #[test]
    fn version_1_is_read_as_well() {
        let own = ("proc/self/cgroup", "9:pids:/x\n4:cpu,memory:/docker/7\n");
        let group = "sys/fs/cgroup/memory/docker/7/memory.limit_in_bytes";
        assert_eq!(found(&[own, (group, "536870912\n")]), "256.0 MiB (half of the container's 512.0 MiB)");
        let unlimited = found(&[own, (group, "9223372036854771712\n")]);
        assert_eq!(unlimited, "3.7 GiB (half of the machine's 7.5 GiB)");
    }

    #[test]
    fn the_setting_precedes_what_is_found() {
        let settings =
            settings::Server { memory_budget: Some(ByteSize::mib(256)), ..settings::Server::default() };
        let limit = MemoryLimit::of(&settings);
        assert_eq!(limit.to_string(), "256.0 MiB (server.memory_budget)");
        assert_eq!(limit.for_clients(8 << 20), 168 << 20);
    }
}
