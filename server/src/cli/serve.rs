//! `realtime-server serve`: runs the server until a signal stops it.
//!
//! `--dev` needs no settings: it generates a secret and keeps it in the data folder, so that tokens stay valid across
//! restarts, and prints a first program to paste. Unless an address is set, it binds 127.0.0.1.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Map;
use settings::file_access::{self, SizeLimit};
use settings::{Loaded, Settings, Sources};
use tracing::{debug, info, warn};

use super::Signals;
use super::data_dir::{DataDir, Lock, LockError};
use super::running::Running;
use super::start_line;
use crate::app::{OpenedStore, Server};
use crate::auth::sign;
use crate::node::{Urgency, memory_remarks, queue_memory};
use crate::reload::ConfigReloader;
use crate::resources::Resources;
use crate::telemetry::logs;
use crate::watch::{Watch, WatchError};
use crate::workers::Workers;

const EXAMPLES: &str = "\
Examples:
  realtime-server serve --dev                        for development: nothing else is needed
  JWT_SECRET=… PORT=8080 realtime-server serve       in production
  realtime-server serve --config config.toml         with a file; see config/production.toml";

/// How long the tokens printed by `--dev` are valid: ten years.
const DEV_TOKEN_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// For development: generate a secret, keep it in the data folder, print tokens and a first program, and
    /// bind 127.0.0.1 unless another address is set
    #[arg(long)]
    dev: bool,

    /// Address to bind (server.host)
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,

    /// TCP port to bind; 0 takes a free one (server.port)
    #[arg(long)]
    port: Option<String>,

    #[command(flatten)]
    config: super::Config,
}

impl Args {
    fn sources(&self) -> Sources {
        let sources = self.config.sources();
        // The tokens that it prints are valid for years, so only this machine should reach it.
        let sources = match self.dev {
            true => sources.with_fallback("serve --dev", "server.host", "127.0.0.1"),
            false => sources,
        };
        let flags = [("--host", "server.host", &self.host), ("--port", "server.port", &self.port)];
        flags.into_iter().fold(sources, |sources, (flag, key, value)| match value {
            Some(value) => sources.with_flag(flag, key, value),
            None => sources,
        })
    }
}

/// Everything that is read before the server starts.
struct Prepared {
    sources: Sources,
    watch: Result<Watch, WatchError>,
    loaded: Loaded,
    resources: Resources,
    /// An error when the folder cannot be locked, which does not prevent serving.
    lock: Result<Lock, LockError>,
}

/// Serves until SIGTERM, then drains. A second SIGTERM disconnects all clients at once, a third ends the process; SIGINT
/// (Ctrl-C) begins with what the second does.
///
/// # Errors
/// Wrong settings, no secret, or a port that cannot be bound.
pub async fn run(args: Args, signals: Option<Signals>) -> anyhow::Result<()> {
    let Signals { hangup, mut stop } = signals.map_or_else(Signals::register, Ok)?;
    let dev = args.dev;
    // On a thread of its own: a network file system may block it, and a signal must be handled meanwhile.
    let prepared = tokio::task::spawn_blocking(move || prepare(&args));
    let Prepared { sources, watch, loaded, resources, lock } = tokio::select! {
        prepared = prepared => prepared.context("the settings could not be read")??,
        _stop = stop.next(Urgency::Soon) => {
            super::print_stderr("stopped by a signal before the settings were read");
            return Ok(());
        }
    };
    let settings = loaded.settings.clone();
    let (logs, _flush) = logs::start(&settings.telemetry, &settings.regions);
    for note in &loaded.notes {
        if note.warning { warn!("{}", note.text) } else { info!("{}", note.text) }
    }
    resources.warnings.iter().for_each(|warning| warn!("{warning}"));
    if let Err(error) = &lock {
        warn!("{error}; a second server on the same folder would not be noticed");
    }
    let reloader = ConfigReloader::new(sources, &loaded, logs, watch, hangup);
    let files = start_line::files(&loaded, &resources);
    let threads = settings.server.worker_threads.or_else(|| thread::available_parallelism().ok());
    let threads = threads.unwrap_or(NonZeroUsize::MIN);
    let open_files = super::open_files::raise(&settings.server, threads);
    let workers = Workers::start(threads).context("cannot start the workers")?;
    let server = Server::builder(settings.clone()).resources(resources).reloader(reloader);
    let server = server.workers(workers).open_files(open_files);
    let server = match OpenedStore::open(&settings).await {
        Ok(store) => server.store(store),
        // What is there would seem to be gone.
        Err(error) if settings.store.is_shared() || OpenedStore::has_files(&settings) => return Err(error),
        Err(error) => {
            warn!("What is created over HTTP is lost when this server stops: {error:#}");
            server
        }
    };
    let server = server.start().await?;
    let folder = DataDir::of(&settings);
    let running = Running::new(&settings, server.address(), server.internal_address());
    let _kept = running.keep(folder.path()).inspect_err(|error| {
        debug!("Cannot write into {folder}, `realtime-server health` uses the settings alone: {error}")
    });
    // Checked before the log says that the server listens.
    let early = stop.arrived();
    start_line::write(&settings, &files, &server);
    if dev {
        // A closed stdout (`| head -1`) does not end the server.
        let _stdout_closed = super::print_stdout(welcome(&settings, server.address()));
    }
    let urgency = match early {
        Some(urgency) => urgency,
        None => stop.next(Urgency::Normal).await,
    };
    let node = Arc::clone(server.node());
    node.lifecycle.raise_urgency(urgency);
    let drained = server.drain();
    tokio::pin!(drained);
    loop {
        tokio::select! {
            () = &mut drained => return Ok(()),
            more = stop.next(node.lifecycle.urgency().more()) => node.lifecycle.raise_urgency(more),
        }
    }
}

/// Reads the settings and the files they name, and locks the data folder.
fn prepare(args: &Args) -> anyhow::Result<Prepared> {
    let mut sources = args.sources();
    let listed = sources.clone();
    let watch = Watch::new(move || listed.files());
    let mut loaded = sources.load()?;
    let folder = DataDir::of(&loaded.settings);
    let lock = match folder.lock() {
        Err(held @ LockError::Held { .. }) => return Err(held.into()),
        lock => lock,
    };
    if args.dev && loaded.settings.auth.jwt_secret.is_none() {
        let secret = dev_secret(&folder)?;
        sources = sources.with_fallback("serve --dev", "auth.jwt_secret", secret.expose_secret());
        loaded = sources.load()?;
    }
    let resources = Resources::of(&loaded)?;
    loaded.notes.extend(memory_remarks(&loaded.settings, queue_memory(&loaded.settings)));
    Ok(Prepared { sources, watch, loaded, resources, lock })
}

/// The secret of earlier runs with `--dev`, or a new one.
fn dev_secret(folder: &DataDir) -> anyhow::Result<SecretString> {
    let file = folder.dev_secret_file();
    if let Ok(secret) = file_access::read_text(&file, SizeLimit::SECRET)
        && !secret.trim().is_empty()
    {
        return Ok(secret.trim().into());
    }
    let mut random = [0; 48];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
    file_access::create_folder(folder.path()).with_context(|| format!("cannot make the folder {folder}"))?;
    file_access::open(&file, OpenOptions::new().write(true).create(true).truncate(true))
        .and_then(|mut opened| opened.write_all(secret.as_bytes()))
        .with_context(|| format!("cannot keep the secret of `serve --dev` in {folder}"))?;
    Ok(secret.into())
}

/// What `--dev` prints: the URL, tokens, and a first program.
fn welcome(settings: &Settings, address: SocketAddr) -> String {
    let Some(secret) = &settings.auth.jwt_secret else { return String::new() };
    let token = |role| sign(secret, role, None, Map::new(), SystemTime::now(), DEV_TOKEN_LIFE);
    let (anon, service) = (token("anon"), token("service_role"));
    let address = SocketAddr::new(super::reachable(address.ip()), address.port());
    let url = format!("http://{address}");
    format!(
        r#"
Realtime Server is ready, for development: clients with these tokens are accepted.

  URL      {url}
  anon     {anon}
  service  {service}

In another terminal:  npm install @supabase/supabase-js  and save this as hello.mjs:

  import {{ createClient }} from '@supabase/supabase-js'
  // Node 22 and later. Node 20 has no WebSocket of its own: npm install ws, import WebSocket from 'ws',
  // and add transport: WebSocket to the realtime options below.
  const client = createClient('{url}', '{anon}',
    {{ realtime: {{}} }})
  const room = client.channel('hello', {{ config: {{ broadcast: {{ self: true }} }} }})
  room.on('broadcast', {{ event: 'greeting' }}, ({{ payload }}) => console.log('received:', payload.text))
  room.subscribe((status, error) => {{
    console.log(status, error ?? '')
    if (status === 'SUBSCRIBED') room.send({{ type: 'broadcast', event: 'greeting', payload: {{ text: 'hello, room' }} }})
  }})

Run it with  node hello.mjs  in two terminals: each receives what the other sends. Ctrl-C stops.

"#
    )
}
