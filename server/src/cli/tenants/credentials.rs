//! The token of the operator who manages tenants.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use http::Uri;
use http::uri::Scheme;
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
    ensure!(
        !access.url.as_ref().is_some_and(is_sent_in_the_clear),
        "no token is signed for a server that would receive it without TLS: use https, or give a token with --token-file \
         or {VARIABLE}"
    );
    let signed = access
        .config
        .load()
        .map_err(anyhow::Error::from)
        .and_then(|settings| token::of_operator(&settings, SUB, SystemTime::now(), LIFETIME));
    signed.with_context(|| format!("there is no token of an operator: neither --token-file nor {VARIABLE}"))
}

/// Whether what is sent there leaves this machine without TLS.
fn is_sent_in_the_clear(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    url.scheme() != Some(&Scheme::HTTPS) && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_without_tls_is_sent_in_the_clear() {
        for (url, expected) in [
            ("http://realtime.example.com", true),
            ("http://10.0.0.1:8080", true),
            ("https://realtime.example.com", false),
            ("http://localhost:8080", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
        ] {
            assert_eq!(is_sent_in_the_clear(&url.parse().expect("a URL")), expected, "{url}");
        }
    }
}
