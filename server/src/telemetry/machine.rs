//! Metrics of the machine, under upstream's names, for dashboards without an exporter for machines.
//!
//! Read from `/proc` at each sample, which in a container shows the machine too; where there is none, these metrics stay at zero.

use std::fs;

use metrics::Recorder;
use parking_lot::Mutex;

metrics! {
    /// Metrics of the machine.
    pub struct MachineMetrics {
        /// Percent of the time that the processors of the machine were busy, since the sample before.
        pub cpu_util: Gauge = "osmon_cpu_util",
        /// Load average of the machine over 1 minute.
        pub load_1: Gauge = "osmon_cpu_avg1",
        /// Load average of the machine over 5 minutes.
        pub load_5: Gauge = "osmon_cpu_avg5",
        /// Load average of the machine over 15 minutes.
        pub load_15: Gauge = "osmon_cpu_avg15",
        /// Percent of the memory of the machine that is in use.
        pub ram_usage: Gauge = "osmon_ram_usage",
    }
}

/// A second of one processor. Two pages may be written at nearly the same time, and the few ticks between them say nothing.
const TICKS_MIN: u64 = 100;

/// The times of all processors since the machine started, in ticks.
#[derive(Debug, Clone, Copy, Default)]
struct ProcessorTimes {
    idle: u64,
    all: u64,
}

impl ProcessorTimes {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; the time of virtual machines is part of user.
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }

    /// Percent of the time between both that was not idle; `None` if too little has passed.
    fn busy_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|ticks| *ticks >= TICKS_MIN)?;
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some(100.0 * (all - idle) as f64 / all as f64)
    }
}

/// The machine, as it was at the last sample.
pub struct Machine {
    metrics: MachineMetrics,
    before: Mutex<ProcessorTimes>,
}

impl Machine {
    pub(super) fn register(recorder: &impl Recorder) -> Self {
        Self { metrics: MachineMetrics::register(recorder, &[]), before: Mutex::default() }
    }

    /// Reads the current values.
    pub fn sample(&self) {
        let metrics = &self.metrics;
        if let Some(now) = ProcessorTimes::read() {
            let mut before = self.before.lock();
            if let Some(percent) = now.busy_since(*before) {
                metrics.cpu_util.set(percent);
                *before = now;
            }
        }
        if let Ok(load) = fs::read_to_string("/proc/loadavg") {
            let averages =
                load.split_ascii_whitespace().map(|field| field.parse::<f64>().unwrap_or_default());
            for (gauge, average) in
                [&metrics.load_1, &metrics.load_5, &metrics.load_15].into_iter().zip(averages)
            {
                gauge.set(average);
            }
        }
        if let Some(percent) = memory_in_use() {
            metrics.ram_usage.set(percent);
        }
    }
}

fn memory_in_use() -> Option<f64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| -> Option<f64> {
        let line = memory.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    let (all, available) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    (all > 0.0).then(|| 100.0 * (all - available) / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_busy_as_much_as_they_are_not_idle() {
        let before = ProcessorTimes { idle: 100, all: 200 };
        assert_eq!(ProcessorTimes { idle: 175, all: 300 }.busy_since(before), Some(25.0));
        assert_eq!(before.busy_since(before), None);
    }
}
