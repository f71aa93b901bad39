//! A control group with a limit of memory, as a container has one: version 1 or 2, whichever has the memory controller.
//!
//! Making one takes the permissions of root and a writable `/sys/fs/cgroup`. Version 1 counts socket buffers apart from its
//! limit, version 2 as a part of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context as _, Result, bail, ensure};

/// A group without processes. Removed when dropped, after its processes have ended.
#[derive(Debug)]
pub struct ControlGroup {
    folder: PathBuf,
    files: &'static Files,
}

/// What the files of a version are called.
#[derive(Debug)]
struct Files {
    root: &'static str,
    limit: &'static str,
    now: &'static str,
    peak: &'static str,
    /// Has a line `oom_kill N`.
    events: &'static str,
    /// A number of bytes, or a line `sock N`.
    socket_buffers: &'static str,
}

/// Version 1 only counts socket buffers where they have a limit of their own.
const SOCKET_BUFFER_LIMIT: &str = "memory.kmem.tcp.limit_in_bytes";

/// What never limits.
const COUNTED: u64 = 1 << 50;

const VERSIONS: [Files; 2] = [
    Files {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        now: "memory.current",
        peak: "memory.peak",
        events: "memory.events",
        socket_buffers: "memory.stat",
    },
    Files {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        now: "memory.usage_in_bytes",
        peak: "memory.max_usage_in_bytes",
        events: "memory.oom_control",
        socket_buffers: "memory.kmem.tcp.usage_in_bytes",
    },
];

impl ControlGroup {
    /// A group that may use this many bytes. Fails where none can be made.
    pub fn with_limit(name: &str, bytes: u64) -> Result<ControlGroup> {
        let mut reasons = Vec::new();
        for files in &VERSIONS {
            match ControlGroup::make(files, name, bytes) {
                Ok(group) => return Ok(group),
                Err(error) => reasons.push(format!("{}: {error:#}", files.root)),
            }
        }
        bail!("{}", reasons.join("; "))
    }

    fn make(files: &'static Files, name: &str, bytes: u64) -> Result<ControlGroup> {
        let folder = Path::new(files.root).join(format!("soak-{}-{name}", process::id()));
        // `create_dir` also works in a plain folder, in which nothing limits anything.
        ensure!(Path::new(files.root).join("cgroup.procs").exists(), "no control groups");
        fs::create_dir(&folder).context("cannot make a group")?;
        let group = ControlGroup { folder, files };
        let limit = group.folder.join(files.limit);
        ensure!(limit.exists(), "no memory controller");
        fs::write(limit, bytes.to_string()).context("cannot set its limit")?;
        // Without swap, where the kernel counts it: a server that swaps is not inside its limit.
        let swap = group.folder.join("memory.swap.max");
        if swap.exists() {
            fs::write(swap, "0").context("cannot turn swap off")?;
        }
        let buffers = group.folder.join(SOCKET_BUFFER_LIMIT);
        if buffers.exists() {
            fs::write(buffers, COUNTED.to_string()).context("cannot count socket buffers")?;
        }
        Ok(group)
    }

    /// The command that runs `program` in this group, with the same process id.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
            .arg(self.folder.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// Its name in the file system.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes it uses now.
    pub fn used(&self) -> Result<u64> {
        Ok(self.read(self.files.now)?.trim().parse()?)
    }

    /// The most that it has used. The page cache is part of it.
    pub fn peak(&self) -> Result<u64> {
        Ok(self.read(self.files.peak)?.trim().parse()?)
    }

    /// What reads the size of its socket buffers.
    pub fn socket_buffers(&self) -> SocketBuffers {
        SocketBuffers(self.folder.join(self.files.socket_buffers))
    }

    /// How many processes the kernel has killed because of the limit.
    pub fn kills(&self) -> Result<u64> {
        let text = self.read(self.files.events)?;
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.context("the kernel does not count kills")?.trim().parse().context("not a number")
    }

    fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.folder.join(file)).with_context(|| format!("cannot read {file}"))
    }
}

/// The buffers that the kernel has for sockets of a group.
#[derive(Debug)]
pub struct SocketBuffers(PathBuf);

impl SocketBuffers {
    /// Their bytes, where they are counted.
    pub fn bytes(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.0).ok()?;
        let number = text.lines().find_map(|line| line.strip_prefix("sock ")).unwrap_or(&text);
        number.trim().parse().ok()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Fails while a process has not been reaped, which leaves an empty group behind.
        let _best_effort = fs::remove_dir(&self.folder);
    }
}
