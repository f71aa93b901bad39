//! Metrics that the operating system keeps of this process, under the names that Prometheus client libraries use.
//!
//! Read from `/proc` at each sample; where there is none, these metrics stay at zero.

use std::fs;

use rustix::process::{Resource, getrlimit};

metrics! {
    /// Metrics of the process, as the operating system reports them.
    pub struct ProcessMetrics {
        /// Resident memory in bytes.
        pub resident_memory: Gauge = "process_resident_memory_bytes",
        /// CPU time used, user and system, in seconds.
        pub cpu_seconds: Gauge = "process_cpu_seconds_total",
        /// Open file descriptors.
        pub open_files: Gauge = "process_open_fds",
        /// Maximum number of open file descriptors.
        pub open_files_max: Gauge = "process_max_fds",
        /// When the process started, in seconds since 1970.
        pub start_time: Gauge = "process_start_time_seconds",
    }
}

/// The one counter that is registered as a gauge: the facade has gauges of fractions and counters of whole numbers, and CPU time
/// is a counter of fractions.
pub(super) const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// `USER_HZ`, the unit of times in `/proc`: 100 on every Linux architecture Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

impl ProcessMetrics {
    /// Reads the current values.
    pub fn sample(&self) {
        self.resident_memory.set(resident_memory());
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            // After the command's closing bracket, utime and stime are the 12th and 13th field, starttime the 20th.
            let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
            let ticks: Vec<f64> = fields.map(|field| field.parse().unwrap_or_default()).collect();
            if let [user, system, .., started] = ticks[11.min(ticks.len())..20.min(ticks.len())] {
                self.cpu_seconds.set((user + system) / TICKS_PER_SECOND);
                self.start_time.set(boot_time() + started / TICKS_PER_SECOND);
            }
        }
        if let Some(files) = open_files() {
            self.open_files.set(files as f64);
        }
        self.open_files_max
            .set(getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |most| most as f64));
    }
}

/// Resident memory in bytes.
pub fn resident_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}

/// How many file descriptors are open.
pub fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Linux since 6.2 has the number in the folder's size. Before, the size is 0 and listing takes about a microsecond
    // per descriptor.
    let size = fs::metadata(FOLDER).ok()?.len();
    if size > 0 { Some(size) } else { fs::read_dir(FOLDER).ok().map(|files| files.count() as u64) }
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "));
    boot.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or_default()
}
