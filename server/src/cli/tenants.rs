//! `realtime-server tenants`: manages the tenants of a running server, over its API for operators.
//!
//! Never in the store itself: the running server applies a change to connected clients and to the other nodes, and the embedded
//! store belongs to it alone. Secrets are read from files or stdin, since other users see the arguments of a process.

mod api;
mod call;
mod confirmation;
mod credentials;
mod fields;
mod output;
mod refusal;

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use http::Uri;
use serde_json::{Map, Value};

use self::api::Api;
use self::call::ApiCall;
use self::fields::{Fields, UpdateFields};
use super::input::Input;

const EXAMPLES: &str = "\
Examples:
  realtime-server tenants list                                    all tenants
  realtime-server tenants create acme --jwt-secret-file acme.key  a new one; the secret signs its users' tokens
  openssl rand -base64 48 | realtime-server tenants create acme --jwt-secret-file -
  realtime-server tenants update acme --max-concurrent-users 500 --private-only true
  realtime-server tenants suspend acme                            its clients are disconnected until `resume`
  realtime-server tenants delete acme --yes                       without a question, in a script
  realtime-server tenants show acme --json | jq .data             what the API responds
  realtime-server tenants list --url https://realtime.example.com --token-file operator.token

The server is that of the settings on this machine, or --url. It has to accept operators, by API_JWT_SECRET
(admin.jwt_secret). The operator's token is that of --token-file, else of the variable REALTIME_OPERATOR_TOKEN; else one is
signed for a minute, with the secret in the settings.

The exit code is 0 if the server has done it, else 1.";

/// What to do with the tenants of a server.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all tenants, those of the configuration included
    List(Access),
    /// Show a tenant; its secrets are not shown
    Show(One),
    /// Create a tenant; it must not exist yet
    #[command(after_help = fields::CREATE_EXAMPLES)]
    Create {
        #[command(flatten)]
        tenant: One,

        #[command(flatten)]
        fields: Fields,
    },
    /// Change a tenant, which must exist; what is not given stays as it is
    #[command(after_help = fields::UPDATE_EXAMPLES)]
    Update {
        #[command(flatten)]
        tenant: One,

        #[command(flatten)]
        fields: Fields,

        #[command(flatten)]
        changes: UpdateFields,
    },
    /// Disconnect the clients of a tenant and refuse new ones, until it is resumed
    Suspend(One),
    /// Accept the clients of a suspended tenant again
    Resume(One),
    /// Delete a tenant; its clients are disconnected
    Delete {
        #[command(flatten)]
        tenant: One,

        /// Do not ask; required unless a person is at a terminal
        #[arg(long)]
        yes: bool,
    },
}

/// A tenant, and how its server is reached.
#[derive(Debug, clap::Args)]
struct One {
    /// Name of the tenant, by which clients select it
    #[arg(value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,

    #[command(flatten)]
    access: Access,
}

/// How a server is reached, and what is printed.
#[derive(Debug, clap::Args)]
struct Access {
    /// Print the response of the API, which is JSON
    #[arg(long)]
    json: bool,

    /// Address of the server, https:// or http:// and its name; without it, that of the server on this machine (its internal port
    /// with server.internal.exclusive). Certificates are verified: --url by the authorities that this machine trusts (or
    /// SSL_CERT_FILE), this machine's by server.tls.cert_file
    #[arg(long, value_parser = parse_url)]
    url: Option<Uri>,

    /// File with the operator's token, or - for stdin; without it the variable REALTIME_OPERATOR_TOKEN is used, else a token is
    /// signed with admin.jwt_secret of the settings
    #[arg(long, value_name = "FILE|-")]
    token_file: Option<Input>,

    /// How long to wait for the response
    #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration, default_value = "30s")]
    timeout: Duration,

    #[command(flatten)]
    config: super::Config,
}

fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    if !is_http || url.query().is_some() {
        return Err("write http://HOST:PORT or https://HOST, with a path if the API is below one".into());
    }
    Ok(url)
}

/// Sends the request, and prints the result.
///
/// # Errors
/// When there is no server or no token, and whatever the server refuses.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(access) => {
            let body = Api::of(&access, &[])?.send(ApiCall::List, None).await?;
            output::print(&body, access.json, || output::list(&body))?;
        }
        Command::Show(One { id, access }) => {
            let body = Api::of(&access, &[])?.send(ApiCall::Show(&id), None).await?;
            output::print(&body, access.json, || output::tenant(&body))?;
        }
        Command::Create { tenant, fields } => {
            let api = Api::of(&tenant.access, &fields.inputs())?;
            write(api, &tenant, ApiCall::Create(&tenant.id), fields.read()?, "Created").await?;
        }
        Command::Update { tenant, fields, changes } => {
            let api = Api::of(&tenant.access, &fields.inputs())?;
            let body = changes.added_to(fields.read()?)?;
            write(api, &tenant, ApiCall::Update(&tenant.id), body, "Changed").await?;
        }
        Command::Suspend(tenant) => change(&tenant, ("suspend", true.into()), "Suspended").await?,
        Command::Resume(tenant) => change(&tenant, ("suspend", false.into()), "Resumed").await?,
        Command::Delete { tenant: One { id, access }, yes } => {
            let api = Api::of(&access, &[])?;
            if !yes && !confirmation::ask(&id, access.token_file.as_ref())? {
                super::print_stderr("Nothing was deleted.");
                return Ok(ExitCode::FAILURE);
            }
            let body = api.send(ApiCall::Delete(&id), None).await?;
            output::print(&body, access.json, || format!("Deleted the tenant `{id}`.\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes these fields of a tenant, and prints what was `done`.
async fn write(
    api: Api,
    tenant: &One,
    call: ApiCall<'_>,
    fields: Map<String, Value>,
    done: &str,
) -> anyhow::Result<()> {
    let body = api.send(call, Some(fields.into())).await?;
    output::print(&body, tenant.access.json, || format!("{done} the tenant `{}`.\n", tenant.id))
}

/// Changes one field of a tenant.
async fn change(tenant: &One, (field, value): (&str, Value), done: &str) -> anyhow::Result<()> {
    let api = Api::of(&tenant.access, &[])?;
    let fields = Map::from_iter([(field.to_owned(), value)]);
    write(api, tenant, ApiCall::Update(&tenant.id), fields, done).await
}
