//! `realtime-server token`: signs a token for a user, an operator, or a reader of the metrics.
//!
//! The token stands alone on the last line of stdout, everything else goes to stderr, so that
//! `TOKEN=$(realtime-server token)` works.

mod secret;

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use settings::Settings;

use self::secret::Secret;
use crate::auth::{sign, sign_operator, with_users_claims, with_validated_claims};

const EXAMPLES: &str = "\
Examples:
  realtime-server token                                          role authenticated, valid for an hour
  realtime-server token --role anon --expires-in 10y             the public key of an application
  realtime-server token --sub ann --claims '{\"team\":\"red\"}'      with additional claims
  realtime-server token --tenant acme                            for a user of another tenant
  realtime-server token --operator --sub ann                     for /status and /admin
  realtime-server token --metrics --expires-in 1y                for a Prometheus server
  TOKEN=$(JWT_SECRET=… realtime-server token 2>/dev/null)        in a script

A user's token is signed with JWT_SECRET (or auth.jwt_secret, or that of tenants.<id>.auth); without one it is the
secret of `serve --dev`, from the data directory. An operator's token is signed with API_JWT_SECRET
(admin.jwt_secret), one for /metrics with METRICS_JWT_SECRET (admin.metrics_jwt_secret).";

/// The arguments of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The claim `sub`: a user's id, or the name of an operator in the log
    #[arg(long)]
    sub: Option<String>,

    /// Postgres role: anon, authenticated, service_role or one of your own
    #[arg(long, default_value = "authenticated", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    role: String,

    /// Tenant of the user, instead of the default one
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,

    /// Sign a token for an operator, instead of a user
    #[arg(long, conflicts_with_all = ["metrics", "tenant", "role"])]
    operator: bool,

    /// Sign a token for /metrics, instead of a user
    #[arg(long, conflicts_with_all = ["tenant", "role", "sub"])]
    metrics: bool,

    /// Additional claims, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_claims, default_value = "{}", hide_default_value = true)]
    claims: Claims,

    /// Lifetime: 30s, 1h, 10y, or a bare number of seconds such as 3600
    #[arg(long, value_name = "DURATION", value_parser = parse_lifetime, default_value = "1h")]
    expires_in: Duration,

    #[command(flatten)]
    config: super::Config,
}

/// An alias, because clap takes a bare map type for an option that may be repeated.
type Claims = Box<Map<String, Value>>;

fn parse_claims(text: &str) -> Result<Claims, String> {
    // Without the text of the error, which repeats values.
    let problem = |error: serde_json::Error| {
        format!("must be a JSON object (line {}, column {})", error.line(), error.column())
    };
    serde_json::from_str(text).map(Box::new).map_err(problem)
}

/// A bare number is seconds, as in every JWT library.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).or_else(|_| settings::parse_duration(text))
}

/// Prints the token.
///
/// # Errors
/// If the settings are wrong, there is no secret to sign with, or stdout is closed.
pub fn run(args: Args) -> anyhow::Result<()> {
    let settings = args.config.load()?;
    let (token, about) = issue(&settings, args, SystemTime::now())?;
    super::print_stderr(about);
    super::print_stdout(format_args!("{token}\n")).context("cannot print the token")
}

/// The token, and a description of it for stderr.
fn issue(settings: &Settings, args: Args, now: SystemTime) -> anyhow::Result<(String, String)> {
    let lifetime = settings::format_duration(args.expires_in);
    if !args.operator && !args.metrics {
        let (auth, Secret { secret, source }) = secret::of_users(settings, args.tenant.as_deref())?;
        let claims = with_users_claims(*args.claims, auth);
        let token = sign(&secret, &args.role, args.sub.as_deref(), claims, now, args.expires_in);
        let about = format!(
            "A token for the role `{}`, signed with {source}. It is valid for {lifetime}.\n\
             Clients pass it as their API key, or to setAuth().",
            args.role
        );
        return Ok((token, about));
    }
    if args.claims.contains_key("role") {
        bail!(
            "a token with a `role` is a user's token, and is never accepted as an operator's: leave it out"
        );
    }
    let (Secret { secret, source }, holder) = if args.metrics {
        (secret::of_metrics(settings)?, "/metrics")
    } else {
        (secret::of_operators(settings)?, "an operator")
    };
    let mut claims = with_validated_claims(*args.claims, &settings.auth);
    if let Some(sub) = args.sub {
        claims.extend(operators_name(sub, &secret, settings));
    }
    let about = format!(
        "A token for {holder}, signed with {source}. It is valid for {lifetime}.\n\
         Send it in the header  authorization: Bearer <token>"
    );
    Ok((sign_operator(&secret, claims, now, args.expires_in), about))
}

/// A token for the operator `sub`, signed with the secret in the settings.
///
/// # Errors
/// When there is none.
pub(super) fn of_operator(
    settings: &Settings,
    sub: &str,
    now: SystemTime,
    expires_in: Duration,
) -> anyhow::Result<SecretString> {
    let Secret { secret, .. } = secret::of_operators(settings)?;
    let mut claims = with_validated_claims(Map::new(), &settings.auth);
    claims.extend(operators_name(sub.into(), &secret, settings));
    Ok(sign_operator(&secret, claims, now, expires_in).into())
}

/// A token for a user of `tenant`, or of the default one, signed with `secret`, or without one with that in the settings.
///
/// # Errors
/// When there is none.
pub(super) fn of_user(
    settings: &Settings,
    (tenant, role): (Option<&str>, &str),
    secret: Option<SecretString>,
    now: SystemTime,
    expires_in: Duration,
) -> anyhow::Result<SecretString> {
    let (auth, secret) = match secret {
        Some(secret) => {
            let tenant = tenant.and_then(|id| settings.tenants.get(id));
            (tenant.map_or(&settings.auth, |tenant| &tenant.auth), secret)
        }
        None => {
            let (auth, Secret { secret, .. }) = secret::of_users(settings, tenant)?;
            (auth, secret)
        }
    };
    Ok(sign(&secret, role, None, with_users_claims(Map::new(), auth), now, expires_in).into())
}

/// The claims that name an operator in a token that `secret` signs.
fn operators_name(
    sub: String,
    secret: &SecretString,
    settings: &Settings,
) -> impl Iterator<Item = (String, Value)> {
    let of_users = settings.auth.jwt_secret.iter().chain(&settings.auth.jwt_secrets);
    let mut of_users = of_users.chain(&settings.seed.jwt_secret).map(ExposeSecret::expose_secret);
    // Without it, a token that names someone is a user's.
    let operator =
        of_users.any(|users| users == secret.expose_secret()).then_some(("operator".into(), true.into()));
    operator.into_iter().chain([("sub".into(), sub.into())])
}

#[cfg(test)]
mod tests;
