//! Which secret signs a token, and where it came from; or what to do when there is none.

use std::path::Path;

use anyhow::{Context, bail};
use secrecy::SecretString;
use settings::{Auth, Settings};

use crate::cli::data_dir::DataDir;

/// A secret to sign with.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) secret: SecretString,
    /// Where it came from, to finish the sentence «signed with …».
    pub(super) whence: String,
}

/// For users of `tenant`, or else of the default one; and what its server asks of their tokens.
pub(super) fn of_users<'a>(
    settings: &'a Settings,
    tenant: Option<&str>,
) -> anyhow::Result<(&'a Auth, Secret)> {
    match tenant.filter(|id| **id != *settings.server.default_tenant) {
        None => Ok((&settings.auth, of_default_tenant(settings)?)),
        Some(id) => {
            let auth = &settings.tenants.get(id).with_context(|| unknown(settings, id))?.auth;
            let secret = first(&auth.jwt_secret, &auth.jwt_secrets).with_context(|| {
                format!(
                    "the tenant `{id}` has no secret to sign with: set tenants.{id}.auth.jwt_secret, or have its \
                     tokens signed by whoever holds its private keys"
                )
            })?;
            Ok((auth, Secret { secret, whence: format!("the secret of the tenant `{id}`") }))
        }
    }
}

/// For whoever runs the server.
pub(super) fn of_operators(settings: &Settings) -> anyhow::Result<Secret> {
    let admin = &settings.admin;
    let secret = first(&admin.jwt_secret, &admin.jwt_secrets).context(
        "there is no secret for operators: set API_JWT_SECRET, or admin.jwt_secret in the file. Without one the \
         server lets no operator in",
    )?;
    Ok(Secret { secret, whence: "the configured secret for operators".into() })
}

/// For whoever reads the numbers.
pub(super) fn of_metrics(settings: &Settings) -> anyhow::Result<Secret> {
    let secret = settings.admin.metrics_jwt_secret.clone().context(
        "there is no secret for the numbers: /metrics is open and needs no token. To close it, set \
         METRICS_JWT_SECRET, or admin.metrics_jwt_secret in the file",
    )?;
    Ok(Secret { secret, whence: "the configured secret for the numbers".into() })
}

/// The one that signs; the others are only believed.
fn first(secret: &Option<SecretString>, others: &[SecretString]) -> Option<SecretString> {
    secret.iter().chain(others).next().cloned()
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
    if let Some(secret) = first(&settings.auth.jwt_secret, &settings.auth.jwt_secrets) {
        return Ok(Secret { secret, whence: "the configured secret".into() });
    }
    let folder = DataDir::of(settings);
    let file = folder.dev_secret_file();
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no secret to sign with: set JWT_SECRET to the server's, or start `realtime-server serve \
             --dev` once, with the same {folder}, where it keeps one"
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read dev-secret in {folder}")),
    };
    in_file(&text, &file, &folder)
}

fn in_file(text: &str, file: &Path, folder: &DataDir) -> anyhow::Result<Secret> {
    match text.trim() {
        "" => bail!("dev-secret in {folder} is empty: delete it, and `serve --dev` makes a new one"),
        secret => {
            let whence = format!("the development secret in {}", file.display());
            Ok(Secret { secret: secret.into(), whence })
        }
    }
}
