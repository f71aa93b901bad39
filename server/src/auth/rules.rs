//! The rules for the claims of a token whose signature is valid.
//!
//! Claims are checked here and not by jsonwebtoken, because Supabase's rules differ: no leeway unless configured,
//! fractions are rounded, `aud` is not checked unless configured. A token without a validated claim is refused, unlike
//! upstream: a validator of `aal = "aal2"` is a requirement. No arithmetic on times can overflow; tokens that last for
//! centuries are normal. `nbf` is honoured, with the leeway of `exp`, which upstream does not do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::TokenError;

/// What the claims of a token must be.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    /// Claims and the values they must have.
    validators: Box<[(Box<str>, Value)]>,
    leeway: i64,
}

impl Rules {
    /// The rules for users.
    pub(super) fn for_users(auth: &settings::Auth) -> Self {
        Self {
            issuer: auth.jwt_issuer.as_deref().map(Into::into),
            audience: auth.jwt_audience.as_deref().map(Into::into),
            ..Self::for_operators(auth)
        }
    }

    /// The rules for operators: the claim validators and the leeway, without issuer and audience.
    pub(super) fn for_operators(auth: &settings::Auth) -> Self {
        let validators = auth.claim_validators.iter();
        Self {
            issuer: None,
            audience: None,
            validators: validators.map(|(claim, value)| (claim.as_str().into(), value.clone())).collect(),
            leeway: seconds(auth.leeway),
        }
    }

    /// Checks the claims that are optional, or required by the settings.
    ///
    /// # Errors
    /// The first claim that is not accepted.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<(), TokenError> {
        if let Some(exp) = claims.get("exp") {
            self.check_expiry(rounded(exp).ok_or(TokenError::InvalidExpiry)?, now)?;
        }
        if let Some(nbf) = claims.get("nbf") {
            let nbf = rounded(nbf).ok_or_else(|| TokenError::Rejected("nbf".into()))?;
            let seconds = nbf.saturating_sub(self.leeway).saturating_sub(seconds_since_epoch(now));
            if seconds > 0 {
                return Err(TokenError::TooEarly { seconds });
            }
        }
        if claims.get("iat").is_some_and(|iat| !iat.is_number()) {
            return Err(TokenError::Rejected("iat".into()));
        }
        for (claim, expected) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if let Some(expected) = expected
                && !claims.get(claim).is_some_and(|found| has_text(found, expected))
            {
                return Err(TokenError::Rejected(claim.into()));
            }
        }
        for (claim, expected) in &self.validators {
            if !claims.get(&**claim).is_some_and(|found| equal(found, expected)) {
                return Err(TokenError::Rejected(claim.as_ref().into()));
            }
        }
        Ok(())
    }

    /// Checks that a token with this `exp` is still valid at `now`.
    ///
    /// # Errors
    /// [`TokenError::Expired`].
    pub(super) fn check_expiry(&self, exp: i64, now: SystemTime) -> Result<(), TokenError> {
        let now = seconds_since_epoch(now);
        if exp.saturating_add(self.leeway) > now {
            return Ok(());
        }
        Err(TokenError::Expired { seconds_ago: now.saturating_sub(exp) })
    }

    /// How long after `now` a token with this `exp` is still valid; zero if it has expired.
    pub(super) fn time_left(&self, exp: i64, now: SystemTime) -> Duration {
        let end = u64::try_from(exp.saturating_add(self.leeway)).unwrap_or(0);
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Duration::from_secs(end).saturating_sub(since_epoch)
    }
}

/// The claim that most likely has a time in milliseconds instead of seconds: as seconds it lies thousands of years
/// ahead, as milliseconds within [`LIFETIME_MAX`]. A token that shall never expire has a still larger number.
pub(super) fn in_milliseconds(claims: &Map<String, Value>, now: SystemTime) -> Option<&'static str> {
    let latest = seconds_since_epoch(now).saturating_add(seconds(LIFETIME_MAX)).saturating_mul(1_000);
    let is_one = |claim: &&str| {
        let time = claims.get(*claim).and_then(rounded);
        time.is_some_and(|time| (MILLISECONDS_FROM..=latest).contains(&time))
    };
    ["exp", "nbf"].into_iter().find(is_one)
}

/// In milliseconds since 1970 a day in 1973, in seconds the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// The longest plausible lifetime of a token: a century.
const LIFETIME_MAX: Duration = Duration::from_secs(100 * 31_557_600);

/// Whether a claim is this text, or a list that contains it.
fn has_text(claim: &Value, expected: &str) -> bool {
    match claim {
        Value::String(text) => text == expected,
        Value::Array(texts) => texts.iter().any(|text| text == expected),
        _ => false,
    }
}

/// Whether two values are equal as JSON: 1 and 1.0 are one number. Whole numbers are not compared as floats, because
/// adjacent large integers have the same float.
fn equal(claim: &Value, expected: &Value) -> bool {
    match (claim, expected) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        _ => claim == expected,
    }
}

/// A time as whole seconds, saturating.
pub(super) fn rounded(time: &Value) -> Option<i64> {
    let number = time.as_number()?;
    // A float-to-integer cast saturates, and no JSON number is NaN.
    number.as_i64().or_else(|| Some(number.as_f64()?.round() as i64))
}

/// Whole seconds, saturating.
pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The time as tokens have it.
pub(super) fn seconds_since_epoch(now: SystemTime) -> i64 {
    now.duration_since(UNIX_EPOCH).map(seconds).unwrap_or(0)
}
