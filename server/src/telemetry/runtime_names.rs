//! Metrics under the names of upstream's runtime, where this process has a counterpart (`telemetry.metrics_format`).

metrics! {
    /// What upstream's dashboards read of its runtime.
    pub struct BeamMetrics {
        /// Resident memory in bytes, as process_resident_memory_bytes.
        pub memory_allocated: Gauge = "beam_memory_allocated_bytes",
        /// Bytes that wait to be sent to clients, as realtime_memory_used_bytes of the kind sending.
        pub memory_binary: Gauge = "beam_memory_binary_total_bytes",
        /// Open file descriptors, as process_open_fds.
        pub ports: Gauge = "beam_stats_port_count",
        /// Milliseconds since the server started.
        pub uptime: Gauge = "beam_stats_uptime_milliseconds_count",
        /// Processors that the process may use.
        pub processors: Gauge = "beam_system_logical_processors_info",
    }
}

metrics! {
    /// Bytes on sockets; each carries the label `type`.
    pub struct BeamBytes {
        /// Bytes on sockets in one direction, as realtime_channel_global_input_bytes and realtime_channel_global_output_bytes.
        pub bytes: Counter = "beam_stats_port_io_byte_count",
    }
}
