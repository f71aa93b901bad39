//! The token of the operator who manages tenants.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use secrecy::SecretString;

use super::Access;
use crate::cli::token;

/// The variable with an operator's token.
pub(super) const VARIABLE: &str = "REALTIME_OPERATOR_TOKEN";

/// How long a token of our own is valid. One request needs it, and clocks may differ by some seconds.
const LIFETIME: Duration = Duration::from_secs(60);

/// The name of the operator in the log of the server, in a token of our own.
const SUB: &str = "realtime-server tenants";

/// The token that is given, else one that the secret in the settings signs.
///
/// # Errors
/// When what is given cannot be read, or the settings have no secret for operators.
pub(super) fn token(access: &Access) -> anyhow::Result<SecretString> {
    if let Some(input) = &access.token_file {
        return input.secret("--token-file");
    }
    if let Some(token) = std::env::var(VARIABLE).ok().filter(|token| !token.is_empty()) {
        return Ok(token.into());
    }
    let signed = access
        .config
        .load()
        .map_err(anyhow::Error::from)
        .and_then(|settings| token::of_operator(&settings, SUB, SystemTime::now(), LIFETIME));
    signed.with_context(|| format!("there is no token of an operator: neither --token-file nor {VARIABLE}"))
}
