//! The secret that signs a token and where it comes from, or an error that says how to configure one.

use std::path::Path;

use anyhow::{Context, bail};
use secrecy::SecretString;
use settings::file_access::{self, SizeLimit};
use settings::{Auth, Seed, Settings};

use crate::auth::signing_secret;
use crate::cli::data_dir::DataDir;

/// A secret to sign with.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) secret: SecretString,
    /// Where it comes from, as in «signed with …».
    pub(super) source: String,
}

/// The secret for users of `tenant`, or of the default tenant, with the settings that their tokens must satisfy.
pub(super) fn of_users<'a>(
    settings: &'a Settings,
    tenant: Option<&str>,
) -> anyhow::Result<(&'a Auth, Secret)> {
    let id = tenant.unwrap_or(settings.default_tenant());
    if settings.seed.tenant.as_deref() == Some(id) && !settings.every_tenant().contains_key(id) {
        return Ok((&settings.auth, of_seeded_tenant(&settings.seed)?));
    }
    match tenant.filter(|id| **id != *settings.server.default_tenant) {
        None => Ok((&settings.auth, of_default_tenant(settings)?)),
        Some(id) => {
            let auth = &settings.tenants.get(id).with_context(|| unknown(settings, id))?.auth;
            let secret = signing_secret(auth).cloned().with_context(|| {
                format!(
                    "the tenant `{id}` has no secret to sign with: set tenants.{id}.auth.jwt_secret, or have its \
                     tokens signed by its identity provider"
                )
            })?;
            Ok((auth, Secret { secret, source: format!("the secret of the tenant `{id}`") }))
        }
    }
}

/// The secret that the tenant has which is created at the start, unless it was given another over HTTP.
fn of_seeded_tenant(seed: &Seed) -> anyhow::Result<Secret> {
    let secret = seed.jwt_secret.clone().context(
        "there is no secret to sign with: set API_JWT_SECRET, or have tokens signed by the identity provider of the tenant",
    )?;
    Ok(Secret { secret, source: "the secret of the tenant that is created at the start".into() })
}

/// The secret for operators.
pub(super) fn of_operators(settings: &Settings) -> anyhow::Result<Secret> {
    let admin = &settings.admin;
    let secret = admin.jwt_secret.iter().chain(&admin.jwt_secrets).next().cloned().context(
        "there is no secret for operators: set API_JWT_SECRET, or admin.jwt_secret in the file. Without one the \
         server accepts no operator",
    )?;
    Ok(Secret { secret, source: "the configured secret for operators".into() })
}

/// The secret for readers of the metrics.
pub(super) fn of_metrics(settings: &Settings) -> anyhow::Result<Secret> {
    let secret = settings.admin.metrics_jwt_secret.clone().context(
        "there is no secret for /metrics: it is open and needs no token. To protect it, set \
         METRICS_JWT_SECRET, or admin.metrics_jwt_secret in the file",
    )?;
    Ok(Secret { secret, source: "the configured secret for /metrics".into() })
}

fn unknown(settings: &Settings, id: &str) -> String {
    let known: Vec<_> = settings.tenants.keys().map(|id| format!("`{id}`")).collect();
    let default = &settings.server.default_tenant;
    match &*known {
        [] => format!("there is no tenant `{id}`, only the default one, `{default}`"),
        _ => format!("there is no tenant `{id}`; beside the default one, `{default}`: {}", known.join(", ")),
    }
}

fn of_default_tenant(settings: &Settings) -> anyhow::Result<Secret> {
    if let Some(secret) = signing_secret(&settings.auth).cloned() {
        return Ok(Secret { secret, source: "the configured secret".into() });
    }
    let directory = DataDir::of(settings);
    let file = directory.dev_secret_file();
    let text = match file_access::read_text(&file, SizeLimit::SECRET) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no secret to sign with: set JWT_SECRET to the server's, or start `realtime-server serve \
             --dev` once, with the same {directory}, where it stores one"
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read dev-secret in {directory}")),
    };
    in_file(&text, &file, &directory)
}

fn in_file(text: &str, file: &Path, directory: &DataDir) -> anyhow::Result<Secret> {
    match text.trim() {
        "" => bail!("dev-secret in {directory} is empty: delete it, and `serve --dev` generates a new one"),
        secret => {
            let source = format!("the development secret in {}", file.display());
            Ok(Secret { secret: secret.into(), source })
        }
    }
}
