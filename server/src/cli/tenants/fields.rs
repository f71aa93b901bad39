//! The fields of a tenant as options, and the JSON that the API takes.
//!
//! Names are those of the API with hyphens. What a value may be is the server's to say, so that a newer or older one is not
//! contradicted here. `extensions` is one option for each setting: there is one type.

mod database;
mod value;

use anyhow::ensure;
use serde_json::{Map, Value};

use self::database::Database;
use self::value::{Limit, Object};
use crate::cli::input::Input;

pub(super) const CREATE_EXAMPLES: &str = "\
Examples:
  realtime-server tenants create acme --jwt-secret-file acme.key
  openssl rand -base64 48 | tee acme.key | realtime-server tenants create acme --jwt-secret-file -
  realtime-server tenants create acme --jwks-file jwks.json --max-concurrent-users 500 --private-only true
  realtime-server tenants create acme --jwt-secret-file acme.key --region eu-central-1 --db-host db.example.com \\
    --db-port 5432 --db-name postgres --db-user supabase_admin --db-password-file acme.password

A tenant needs a secret, a key set, or both. Users, channels, events and joins that are not given are those of [limits] in the settings of the server; 200 users if that sets
no number.";

pub(super) const UPDATE_EXAMPLES: &str = "\
Examples:
  realtime-server tenants update acme --max-concurrent-users 500 --max-joins-per-second default
  realtime-server tenants update acme --jwt-secret-file acme.new.key   users' tokens have to be signed with it from now on
  realtime-server tenants update acme --jwks-file jwks.json --no-jwt-secret
  realtime-server tenants update acme --no-database

The options of the database describe it as a whole, its password included: they replace what is there.";

/// What both `create` and `update` can give.
#[derive(Debug, clap::Args)]
pub(super) struct Fields {
    /// File with the secret that signs the tokens of its users, or - for stdin
    #[arg(long, value_name = "FILE|-", help_heading = "Keys")]
    jwt_secret_file: Option<Input>,

    /// File with the key set (JWKS, JSON) that verifies the tokens of its users, or - for stdin
    #[arg(long, value_name = "FILE|-", help_heading = "Keys")]
    jwks_file: Option<Input>,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    switches: Switches,

    #[command(flatten)]
    kept: Kept,

    #[command(flatten)]
    database: Database,
}

/// What only `update` can.
#[derive(Debug, clap::Args)]
pub(super) struct UpdateFields {
    /// Name to show; that of a new tenant is its ID
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// Remove the secret: tokens are verified by the key set alone
    #[arg(long, help_heading = "Keys", conflicts_with = "jwt_secret_file")]
    no_jwt_secret: bool,

    /// Remove the key set: tokens are verified by the secret alone
    #[arg(long, help_heading = "Keys", conflicts_with = "jwks_file")]
    no_jwks: bool,

    /// Remove the database
    #[arg(long, help_heading = "Database", conflicts_with = "database")]
    no_database: bool,
}

/// Defines the options whose names and values are those of fields, and puts those that are given into a body.
macro_rules! options {
    ($(#[$meta:meta])* $name:ident, $heading:literal, $value_name:literal; $($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        $(#[$meta])*
        #[derive(Debug, clap::Args)]
        struct $name {
            $($(#[$doc])*
            #[arg(long, value_name = $value_name, help_heading = $heading)]
            $field: Option<$kind>,)*
        }

        impl $name {
            fn add_to(&self, body: &mut Map<String, Value>) {
                $(if let Some(value) = &self.$field {
                    body.insert(stringify!($field).into(), value.clone().into());
                })*
            }
        }
    };
}

options! {
    /// Limits: whole numbers, or `default`.
    Limits, "Limits (a whole number, or `default`)", "N";
    /// Users that are connected at once
    max_concurrent_users: Limit,
    /// Channels that one connection has joined
    max_channels_per_client: Limit,
    /// Messages of all clients
    max_events_per_second: Limit,
    /// Joins of all clients
    max_joins_per_second: Limit,
    /// Bytes of all clients; limits nothing in this server
    max_bytes_per_second: Limit,
    /// Presence messages of all clients
    max_presence_events_per_second: Limit,
    /// Size of a broadcast, in kB of 1000 bytes
    max_payload_size_in_kb: Limit,
    /// Presence messages of one client in each window
    max_client_presence_events_per_window: Limit,
    /// Length of that window, in milliseconds
    client_presence_window_ms: Limit,
}

options! {
    /// Switches.
    Switches, "Switches", "true|false";
    /// Refuse clients, as `suspend` does
    suspend: bool,
    /// Refuse public channels
    private_only: bool,
    /// Presence in channels whose clients do not say whether they want it
    presence_enabled: bool,
}

options! {
    /// What means nothing to this server, for a database that Supabase Realtime uses as well.
    Kept, "Kept for Supabase Realtime", "VALUE";
    /// phoenix or gen_rpc
    broadcast_adapter: String,
    /// A JSON object
    feature_flags: Object,
}

impl Fields {
    /// What is read from files or stdin.
    pub(super) fn inputs(&self) -> Vec<&Input> {
        let inputs = [&self.jwt_secret_file, &self.jwks_file, self.database.password_input()];
        inputs.into_iter().flatten().collect()
    }

    /// The fields that are given, with the secrets read.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it should be.
    pub(super) fn read(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        if let Some(input) = &self.jwt_secret_file {
            body.insert("jwt_secret".into(), value::secret(input, "--jwt-secret-file")?);
        }
        if let Some(input) = &self.jwks_file {
            body.insert("jwt_jwks".into(), value::json(input, "--jwks-file")?);
        }
        self.limits.add_to(&mut body);
        self.switches.add_to(&mut body);
        self.kept.add_to(&mut body);
        self.database.add_to(&mut body)?;
        Ok(body)
    }
}

impl UpdateFields {
    /// `body` with these fields.
    ///
    /// # Errors
    /// When there are none at all.
    pub(super) fn added_to(self, mut body: Map<String, Value>) -> anyhow::Result<Map<String, Value>> {
        let fields = [
            ("name", self.name.map(Value::from)),
            ("jwt_secret", self.no_jwt_secret.then_some(Value::Null)),
            ("jwt_jwks", self.no_jwks.then_some(Value::Null)),
            ("extensions", self.no_database.then_some(Value::Array(Vec::new()))),
        ];
        body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        ensure!(!body.is_empty(), "nothing is to be changed: give an option (see --help)");
        Ok(body)
    }
}
