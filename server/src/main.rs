//! The binary: an allocator, a runtime, and the command line.

use std::process::ExitCode;

use realtime_server::cli::{Cli, Signals, print_stderr};
use realtime_server::{crypto, workers};

/// Returns memory to the system when connections leave, and keeps small allocations cheap.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let runtime = match workers::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_stderr(format_args!("error: cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // Before anything that takes time: until then SIGHUP, which should only reload the settings, ends the process.
    let signals = {
        let _runtime = runtime.enter();
        Signals::for_command(std::env::args_os().nth(1).as_deref())
    };
    crypto::install();
    let code = signals.and_then(|signals| runtime.block_on(Cli::parse().run(signals)));
    let code = code.unwrap_or_else(|error| {
        // Not returned from `main`, which would print its debug form, with a backtrace.
        print_stderr(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    });
    // Not dropped, which would wait for threads that a disk or a network file system may block for ever.
    runtime.shutdown_background();
    code
}
