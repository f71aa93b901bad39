//! Secrets that can be used, and should not be: short ones, and one for two kinds of tokens.
//!
//! What would let the users of a tenant manage the server is refused; the rest is remarked, at the start, on a
//! reload and by `config check` alike. All of them are the operator's own, so nothing here takes constant time.

use secrecy::{ExposeSecret, SecretString};

use crate::note::Note;
use crate::problem::Conflict;
use crate::shape::dotted;
use crate::{Admin, Auth, Seed, Settings};

/// A secret shorter than this can be guessed from a token, by trying.
const WISE_BYTES: usize = 32;

/// Names of keys that one remark shows; a thousand tenants may be unwise at once.
const NAMES_SHOWN: usize = 20;

/// A key whose secrets sign tokens.
struct Signing<'a> {
    key: String,
    secrets: Vec<&'a str>,
}

impl<'a> Signing<'a> {
    fn new(key: impl Into<String>, secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        Self { key: key.into(), secrets: secrets.into_iter().map(ExposeSecret::expose_secret).collect() }
    }

    /// The keys of a section of users.
    fn of_users(section: &[&str], auth: &'a Auth) -> [Self; 2] {
        let key = |name| dotted(&[section, &[name]].concat());
        [Self::new(key("jwt_secret"), &auth.jwt_secret), Self::new(key("jwt_secrets"), &auth.jwt_secrets)]
    }

    fn of_operators(admin: &'a Admin) -> [Self; 2] {
        [Self::new("admin.jwt_secret", &admin.jwt_secret), Self::new("admin.jwt_secrets", &admin.jwt_secrets)]
    }

    fn of_metrics(admin: &'a Admin) -> Self {
        Self::new("admin.metrics_jwt_secret", &admin.metrics_jwt_secret)
    }

    fn of_seeded_tenant(seed: &'a Seed) -> Self {
        Self::new("seed.jwt_secret", &seed.jwt_secret)
    }

    fn shares_with(&self, other: &Self) -> bool {
        self.secrets.iter().any(|secret| other.secrets.contains(secret))
    }
}

/// The keys of all tenants but the default one, which stand in `[auth]`.
fn of_tenants(settings: &Settings) -> impl Iterator<Item = Signing<'_>> {
    let tenants = settings.tenants.iter();
    tenants.flat_map(|(id, tenant)| Signing::of_users(&["tenants", id, "auth"], &tenant.auth))
}

/// Secrets of tenants that operators have as well. The default tenant and the one that is seeded may share one with them, as in
/// self-hosted set-ups of Supabase: the claims of a token tell its users and operators apart.
pub(crate) fn shared_with_operators(settings: &Settings) -> Vec<Conflict> {
    let [one, more] = Signing::of_operators(&settings.admin);
    let operators = [one, more, Signing::of_metrics(&settings.admin)];
    let conflict = |users: Signing<'_>| {
        let other = operators.iter().find(|operators| operators.shares_with(&users))?;
        let message = format!(
            "must not be a secret of {} too: a token of this tenant's users that has no `role` would work there",
            other.key
        );
        Some(Conflict { keys: vec![users.key, other.key.clone()], message })
    };
    of_tenants(settings).filter_map(conflict).collect()
}

/// What is unwise about the secrets.
pub(crate) fn remarks(settings: &Settings) -> impl Iterator<Item = Note> {
    let texts = [short(settings), numbers_open_all(&settings.admin)];
    texts.into_iter().flatten().map(Note::warning)
}

/// One remark for all of them.
fn short(settings: &Settings) -> Option<String> {
    let signing = Signing::of_users(&["auth"], &settings.auth).into_iter().chain(of_tenants(settings));
    let signing = signing.chain(Signing::of_operators(&settings.admin));
    let signing =
        signing.chain([Signing::of_metrics(&settings.admin), Signing::of_seeded_tenant(&settings.seed)]);
    let is_short = |one: &Signing<'_>| one.secrets.iter().any(|secret| secret.len() < WISE_BYTES);
    let short: Vec<_> = signing.filter(is_short).map(|one| one.key).collect();
    let shown = short[..short.len().min(NAMES_SHOWN)].join(", ");
    let more = match short.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!short.is_empty()).then(|| {
        format!(
            "{shown}{more}: shorter than {WISE_BYTES} bytes. A secret that short can be found by brute force from one token: use longer ones, such as from `openssl rand -base64 48`"
        )
    })
}

/// A secret for the numbers alone that is for everything.
fn numbers_open_all(admin: &Admin) -> Option<String> {
    let metrics = Signing::of_metrics(admin);
    let other = Signing::of_operators(admin).into_iter().find(|other| other.shares_with(&metrics))?;
    Some(format!(
        "{} is a secret of {} too: a token for /metrics has all permissions of an operator",
        metrics.key, other.key
    ))
}
