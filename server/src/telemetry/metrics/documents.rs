//! How shared documents are loaded, saved and compacted.

metrics! {
    /// Metrics of the documents of all tenants.
    pub struct DocumentMetrics {
        /// Shared documents that connections have open on this node, or that were just used.
        pub open: Gauge = "realtime_documents_open",
        /// Shared documents whose content is in the memory of this node.
        pub loaded: Gauge = "realtime_documents_loaded",
        /// Bytes of updates of shared documents that the store has not taken yet. They are not acknowledged.
        pub unsaved: Gauge = "realtime_documents_unsaved_bytes",
        /// How long it took to append updates of shared documents to the store, in seconds, one sample for each commit.
        pub commits: Histogram = "realtime_documents_commit_duration_seconds",
        /// Updates of shared documents that were appended to the store.
        pub saved: Counter = "realtime_documents_updates_saved_total",
        /// Commits of updates of shared documents that the store did not take (UnableToSaveDocument). They are tried again.
        pub commit_failures: Counter = "realtime_documents_commit_failures_total",
        /// How long it took to read a shared document from the store, in seconds.
        pub loads: Histogram = "realtime_documents_load_duration_seconds",
        /// Shared documents that could not be read from the store, each time (UnableToLoadDocument). Their clients were refused.
        pub load_failures: Counter = "realtime_documents_load_failures_total",
        /// Logs of shared documents that were replaced by their state.
        pub compactions: Counter = "realtime_documents_compactions_total",
        /// Logs of shared documents that could not be replaced by their state (UnableToCompactDocument). They stay.
        pub compaction_failures: Counter = "realtime_documents_compaction_failures_total",
    }
}
