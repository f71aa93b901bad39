//! Keys by id, out of a JSON Web Key Set.
//!
//! A key verifies the algorithms of its own type and curve, and if it names one itself, that one alone. Unusable keys
//! are left out and reported ([`KeySet::problems`]), because a set often comes from a provider, and one unusable key in
//! it must not invalidate the others. Keys that are not for signatures are left out silently.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::keys::{KeyId, KeySource, is_signed_by, printable};
use super::token::Token;

/// Shorter RSA keys can be broken (RFC 7518, 3.3); longer ones are not supported by jsonwebtoken.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Keys by the id that tokens name.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet {
    keys: HashMap<Box<str>, Vec<NamedKey>>,
    problems: Vec<String>,
}

#[derive(Debug, Clone)]
struct NamedKey {
    id: KeyId,
    key: DecodingKey,
    verifies: &'static [Algorithm],
}

/// Checks that `text` is a JSON Web Key Set, and returns its problems, which do not quote it, because it may contain
/// secrets.
///
/// # Errors
/// Why it is no set, as the end of a sentence.
pub fn check_jwks(text: &str) -> Result<Vec<String>, String> {
    KeySet::parse(text, KeySource::Settings).map(|set| set.problems)
}

impl KeySet {
    /// Parses a set.
    ///
    /// # Errors
    /// Why it is no set, as the end of a sentence.
    pub(super) fn parse(text: &str, source: KeySource) -> Result<Self, String> {
        let expected = "must be a JSON Web Key Set: {\"keys\": […]}";
        let json: Value = serde_json::from_str(text).map_err(|error| {
            format!("{expected}, but is no JSON (line {}, column {})", error.line(), error.column())
        })?;
        let entries = json.get("keys").and_then(Value::as_array).ok_or(expected)?;
        let mut set = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            if let Err(problem) = set.add(entry, source) {
                let kid = entry.get("kid").and_then(Value::as_str).unwrap_or_default();
                set.problems.push(format!("key {} (kid \"{}\"): {problem}", index + 1, printable(kid)));
            }
        }
        Ok(set)
    }

    /// The empty set in place of one that cannot be parsed because of `problem`.
    pub(super) fn unreadable(problem: String) -> Self {
        Self { keys: HashMap::new(), problems: vec![problem] }
    }

    /// Which keys were left out, and why.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn contains(&self, key: KeyId) -> bool {
        self.keys.values().flatten().any(|known| known.id == key)
    }

    /// Whether it contains every key of `other`.
    pub(super) fn contains_all_of(&self, other: &Self) -> bool {
        other.keys.values().flatten().all(|key| self.contains(key.id))
    }

    /// Looks up the key `kid`. If it verifies `algorithm`, returns its id, and whether it signed `token`.
    pub(super) fn check_signature(
        &self,
        kid: &str,
        algorithm: Algorithm,
        token: &Token,
    ) -> Option<(KeyId, bool)> {
        let key = self.keys.get(kid)?.iter().find(|key| key.verifies.contains(&algorithm))?;
        Some((key.id, is_signed_by(token, &key.key, algorithm)))
    }

    fn add(&mut self, entry: &Value, source: KeySource) -> Result<(), String> {
        let entry = entry.as_object().ok_or("is no object")?;
        if !is_for_signatures(entry) {
            return Ok(());
        }
        let kid = text(entry, "kid")?;
        let (kty, material) = KeyMaterial::read(entry, source)?;
        let verifies = allowed(material.verifies(), entry)?;
        let id = KeyId::of((kty, kid, material.bytes()), source);
        let key = NamedKey { id, key: material.into_key()?, verifies };
        let known = self.keys.entry(kid.into()).or_default();
        if known.iter().any(|known| known.verifies.iter().any(|algorithm| verifies.contains(algorithm))) {
            return Err("there is another key of this name and type before it".into());
        }
        known.push(key);
        Ok(())
    }
}

/// Whether an entry may verify signatures. Providers publish keys for encryption as well.
fn is_for_signatures(entry: &Map<String, Value>) -> bool {
    let usage = entry.get("use").and_then(Value::as_str);
    let operations = entry.get("key_ops").and_then(Value::as_array);
    usage.is_none_or(|usage| usage == "sig")
        && operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"))
}

/// Those algorithms of `verifies` that the entry allows.
fn allowed(
    verifies: &'static [Algorithm],
    entry: &Map<String, Value>,
) -> Result<&'static [Algorithm], String> {
    let Some(alg) = entry.get("alg").and_then(Value::as_str) else { return Ok(verifies) };
    // jsonwebtoken does not know the name that replaces `EdDSA`.
    let named = if alg == "Ed25519" { Some(Algorithm::EdDSA) } else { alg.parse().ok() };
    let index = named.and_then(|named| verifies.iter().position(|known| *known == named));
    let index = index.ok_or_else(|| format!("`alg` \"{}\" cannot be verified with it", printable(alg)))?;
    Ok(&verifies[index..=index])
}

/// The parameters of a key, decoded.
enum KeyMaterial {
    Secret(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point: 4, x, y.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeyMaterial {
    /// Decodes an entry; returns its type too.
    fn read(entry: &Map<String, Value>, source: KeySource) -> Result<(&str, Self), String> {
        let kty = text(entry, "kty")?;
        let material = match kty {
            "oct" if source == KeySource::Published => {
                return Err("a secret that is published is none".into());
            }
            "oct" => Self::Secret(bytes(entry, "k")?),
            "RSA" => rsa(without_zeros(bytes(entry, "n")?), without_zeros(bytes(entry, "e")?))?,
            "EC" => match text(entry, "crv")? {
                "P-256" => Self::P256(point(entry, 32)?),
                "P-384" => Self::P384(point(entry, 48)?),
                other => return Err(format!("the curve \"{}\" is not known here", printable(other))),
            },
            "OKP" => match text(entry, "crv")? {
                "Ed25519" => Self::Ed25519(sized(entry, "x", 32)?),
                other => return Err(format!("the curve \"{}\" is not known here", printable(other))),
            },
            other => return Err(format!("the type \"{}\" is not known here", printable(other))),
        };
        Ok((kty, material))
    }

    fn verifies(&self) -> &'static [Algorithm] {
        match self {
            Self::Secret(_) => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            Self::Rsa { .. } => &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
            Self::P256(_) => &[Algorithm::ES256],
            Self::P384(_) => &[Algorithm::ES384],
            Self::Ed25519(_) => &[Algorithm::EdDSA],
        }
    }

    fn bytes(&self) -> (&[u8], &[u8]) {
        match self {
            Self::Rsa { n, e } => (n, e),
            Self::Secret(bytes) | Self::P256(bytes) | Self::P384(bytes) | Self::Ed25519(bytes) => {
                (bytes, &[])
            }
        }
    }

    fn into_key(self) -> Result<DecodingKey, String> {
        let algorithm = self.verifies()[0];
        let key = match self {
            Self::Secret(secret) => DecodingKey::from_secret(&secret),
            Self::Rsa { n, e } => DecodingKey::from_rsa_raw_components(&n, &e),
            Self::P256(point) | Self::P384(point) => DecodingKey::from_ec_der(&point),
            Self::Ed25519(x) => DecodingKey::from_ed_der(&x),
        };
        // Verifying an empty signature returns an error, instead of `false`, if the key itself is invalid.
        match jsonwebtoken::crypto::verify("", b"", &key, algorithm) {
            Ok(_is_valid) => Ok(key),
            Err(_) => Err("is no point on its curve".into()),
        }
    }
}

/// Checks an RSA key, which jsonwebtoken does only when it verifies a signature.
fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<KeyMaterial, String> {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(format!("an RSA key has {least} to {most} bits, not {bits}"));
    }
    let exponent = e.iter().take(5).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    if e.len() > 4 || exponent < 3 || exponent % 2 == 0 {
        return Err("`e` must be an odd number of at most 32 bits, such as 65537".into());
    }
    Ok(KeyMaterial::Rsa { n, e })
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn point(entry: &Map<String, Value>, size: usize) -> Result<Vec<u8>, String> {
    let (x, y) = (sized(entry, "x", size)?, sized(entry, "y", size)?);
    Ok([&[4], &*x, &*y].concat())
}

fn sized(entry: &Map<String, Value>, member: &str, size: usize) -> Result<Vec<u8>, String> {
    let bytes = bytes(entry, member)?;
    if bytes.len() == size { Ok(bytes) } else { Err(format!("`{member}` must have {size} bytes")) }
}

fn bytes(entry: &Map<String, Value>, member: &str) -> Result<Vec<u8>, String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text(entry, member)?.trim_end_matches('='));
    bytes.map_err(|_| format!("`{member}` is not base64url"))
}

fn text<'a>(entry: &'a Map<String, Value>, member: &str) -> Result<&'a str, String> {
    let text = entry.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("`{member}` is missing"))
}

#[cfg(test)]
mod tests;
