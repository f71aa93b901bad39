//! The binary: an allocator, a runtime, and the command line.

use std::process::ExitCode;

use clap::Parser;
use realtime_server::cli::{Cli, remark};
use realtime_server::crypto;

/// Returns memory to the system when connections leave, and keeps small allocations cheap.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    crypto::install();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            remark(format_args!("error: cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run()).unwrap_or_else(|error| {
        // Not returned from `main`, which would print it as a debugging value, backtrace included.
        remark(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    });
    // Not dropped, which would wait for threads that wait for a disk, or a network file system, for ever.
    runtime.shutdown_background();
    code
}
