//! `realtime-server token`: a signed token to connect with.
//!
//! The token stands alone on the last line of stdout, everything else goes to stderr, so that
//! `TOKEN=$(realtime-server token)` works.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use secrecy::SecretString;
use serde_json::{Map, Value};
use settings::Settings;

use crate::auth::sign;

const EXAMPLES: &str = "\
Examples:
  realtime-server token                                          role authenticated, for an hour
  realtime-server token --role anon --expires-in 10y             the key an application ships with
  realtime-server token --sub ann --claims '{\"team\":\"red\"}'      with claims of your own
  TOKEN=$(JWT_SECRET=… realtime-server token 2>/dev/null)        in a script

The secret is JWT_SECRET (or auth.jwt_secret); without one it is that of `serve --dev`, from the data folder.";

/// Who the token is for, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who its holder is (the claim `sub`), such as a user's id
    #[arg(long)]
    sub: Option<String>,

    /// Postgres role of its holder: anon, authenticated, service_role or one of your own
    #[arg(long, default_value = "authenticated", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    role: String,

    /// More claims, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_claims, default_value = "{}", hide_default_value = true)]
    claims: Claims,

    /// How long it lasts: 30s, 1h, 10y, or a bare number of seconds such as 3600
    #[arg(long, value_name = "DURATION", value_parser = parse_lifetime, default_value = "1h")]
    expires_in: Duration,

    #[command(flatten)]
    config: super::Config,
}

/// An alias, because clap reads a bare map type as «may be given many times».
type Claims = Box<Map<String, Value>>;

fn parse_claims(text: &str) -> Result<Claims, String> {
    serde_json::from_str(text).map(Box::new).map_err(|error| format!("must be a JSON object: {error}"))
}

/// A bare number is seconds, as in every JWT library.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).or_else(|_| settings::parse_duration(text))
}

/// Prints the token.
///
/// # Errors
/// If the settings are wrong, there is no secret to sign with, or nobody reads the token.
pub fn run(args: Args) -> anyhow::Result<()> {
    let settings = args.config.load()?;
    let (secret, whence) = secret(&settings)?;
    let lifetime = settings::format_duration(args.expires_in);
    super::remark(format_args!(
        "A token for the role `{}`, signed with {whence}. It lasts {lifetime}.",
        args.role
    ));
    super::remark("Clients pass it as their API key, or to setAuth().");
    let token = issue(&settings, &secret, args, SystemTime::now());
    super::answer(format_args!("{token}\n")).context("cannot print the token")
}

/// The token asked for, with the issuer and audience that this server will insist on.
fn issue(settings: &Settings, secret: &SecretString, args: Args, now: SystemTime) -> String {
    let mut claims = *args.claims;
    for (claim, configured) in [("iss", &settings.auth.jwt_issuer), ("aud", &settings.auth.jwt_audience)] {
        if let Some(value) = configured {
            claims.entry(claim).or_insert_with(|| value.as_str().into());
        }
    }
    sign(secret, &args.role, args.sub.as_deref(), claims, now, args.expires_in)
}

/// The secret to sign with, and where it came from.
fn secret(settings: &Settings) -> anyhow::Result<(SecretString, String)> {
    if let Some(secret) = &settings.auth.jwt_secret {
        return Ok((secret.clone(), "the configured secret".into()));
    }
    let file = super::dev_secret_file(settings);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no secret to sign with: set JWT_SECRET to the server's, or start `realtime-server serve \
             --dev` once (it keeps one in {})",
            file.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    secret_in(&text, &file)
}

fn secret_in(text: &str, file: &Path) -> anyhow::Result<(SecretString, String)> {
    match text.trim() {
        "" => bail!("{} is empty: delete it, and `serve --dev` makes a new one", file.display()),
        secret => Ok((secret.into(), format!("the development secret in {}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::auth::{TokenError, Verifier};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::try_parse_from([&["token"], line].concat()).expect("a good command line").args
    }

    /// Settings without a secret, in a folder of this test's own.
    fn settings() -> (Settings, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut settings = Settings::default();
        settings.server.data_dir = folder.path().into();
        (settings, folder)
    }

    #[test]
    fn a_token_for_a_server_that_insists_on_issuer_and_audience() {
        let (mut settings, _folder) = settings();
        settings.auth.jwt_issuer = Some("us".into());
        settings.auth.jwt_audience = Some("rt".into());
        let (secret, now) = (SecretString::from("secret"), SystemTime::now());
        settings.auth.jwt_secret = Some(secret.clone());
        let verifier = Verifier::new(&settings.auth);

        let token = issue(&settings, &secret, args(&["--sub", "ann", "--expires-in", "10y"]), now);
        let claims = verifier.verify(&token, now).expect("good");
        assert_eq!((&*claims.role, claims.sub.as_deref()), ("authenticated", Some("ann")));

        let token = issue(&settings, &secret, args(&["--claims", r#"{"aud":"mine"}"#]), now);
        assert_eq!(
            verifier.verify(&token, now),
            Err(TokenError::Rejected("aud".into())),
            "what is asked for is given"
        );
    }

    #[test]
    fn a_lifetime_without_a_unit_is_seconds() {
        let lifetime = |text| args(&["--expires-in", text]).expires_in;
        assert_eq!(lifetime("3600"), lifetime("1h"));
        assert_eq!(lifetime("0"), Duration::ZERO);
    }

    #[test]
    fn the_configured_secret_comes_before_the_development_secret() {
        let (mut settings, _folder) = settings();
        let missing = secret(&settings).expect_err("there is none").to_string();
        assert!(missing.contains("JWT_SECRET"), "{missing}");

        std::fs::write(super::super::dev_secret_file(&settings), "made up\n")
            .expect("the folder is writable");
        assert_eq!(secret(&settings).expect("from the folder").0.expose_secret(), "made up");

        settings.auth.jwt_secret = Some("configured".into());
        assert_eq!(secret(&settings).expect("from the settings").0.expose_secret(), "configured");

        settings.auth.jwt_secret = None;
        std::fs::write(super::super::dev_secret_file(&settings), " \n").expect("the folder is writable");
        assert!(secret(&settings).expect_err("it is empty").to_string().contains("is empty"));
    }

    #[test]
    fn a_bad_command_line_is_explained() {
        for (line, said) in [
            (["--claims", "[]"], "must be a JSON object"),
            (["--expires-in", "soon"], "must be a duration such as 30s, 5m or 1h"),
            (["--expires-in", "99999999999999999999"], "must be a duration such as 30s, 5m or 1h"),
            (["--role", ""], "a value is required"),
        ] {
            let error = Line::try_parse_from([&["token"][..], &line].concat()).expect_err("bad").to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
