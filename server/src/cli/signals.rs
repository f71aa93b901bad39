//! The signals that a server handles: SIGTERM and SIGINT stop it, SIGHUP reloads its settings.
//!
//! Registered before anything else is done, because the default action of each of them ends the process: a
//! supervisor may send SIGHUP while the settings are still being read. A signal that arrives before it is awaited is kept,
//! once per kind.

use std::ffi::OsStr;
use std::io;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::node::Urgency;

/// The signals of `serve`.
#[derive(Debug)]
pub struct Signals {
    pub(super) hangup: Signal,
    pub(super) stop: Stop,
}

/// The signals that stop the server.
#[derive(Debug)]
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Registers them if `command`, the first argument of the program, is `serve`. Other commands keep the default
    /// actions. Needs a runtime.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn for_command(command: Option<&OsStr>) -> anyhow::Result<Option<Self>> {
        let serves = command.is_some_and(|command| command == "serve");
        serves.then(|| Self::register().context("cannot handle signals")).transpose()
    }

    pub(super) fn register() -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { hangup, stop: Stop { terminate, interrupt } })
    }
}

impl Stop {
    /// Waits for one. SIGTERM means `urgency`; with SIGINT (a person at the keyboard) there is no load balancer to wait
    /// for.
    pub(super) async fn next(&mut self, urgency: Urgency) -> Urgency {
        tokio::select! {
            _ = self.terminate.recv() => {
                info!("Stopping: SIGTERM");
                urgency
            }
            _ = self.interrupt.recv() => {
                info!("Stopping: SIGINT");
                urgency.max(Urgency::Soon)
            }
        }
    }

    /// Whether one has arrived already. Before the server is ready it has no clients, so it stops without delay.
    pub(super) fn arrived(&mut self) -> Option<Urgency> {
        self.next(Urgency::Soon).now_or_never()
    }
}
