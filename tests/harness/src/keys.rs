//! Key pairs as an identity provider has them: the private key signs tokens, the public key verifies them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::EncodePrivateKey as _;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::rand_core::{OsRng, RngCore as _};
use serde_json::{Value, json};

/// The bytes before the 32 bytes of an Ed25519 key in PKCS #8.
const ED25519_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// Bits of an RSA key: the smallest size that a server should accept, because generating one takes seconds.
const RSA_BITS: usize = 2048;

/// A key pair with a key id (`kid`).
#[derive(Clone)]
pub struct KeyPair {
    kid: String,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
}

impl KeyPair {
    /// Generates a pair for `algorithm`. All RSA pairs of a process share one key under different ids.
    ///
    /// # Panics
    /// For PSS, which the server does not support.
    pub fn new(kid: &str, algorithm: Algorithm) -> KeyPair {
        let private = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(&random()),
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => EncodingKey::from_rsa_der(&RSA),
            Algorithm::ES256 => EncodingKey::from_ec_der(
                p256::SecretKey::random(&mut OsRng).to_pkcs8_der().expect("a key can be encoded").as_bytes(),
            ),
            Algorithm::ES384 => EncodingKey::from_ec_der(
                p384::SecretKey::random(&mut OsRng).to_pkcs8_der().expect("a key can be encoded").as_bytes(),
            ),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&[&ED25519_PREFIX[..], &random()].concat()),
            other => panic!("no test needs {other:?}"),
        };
        let public = Jwk::from_encoding_key(&private, algorithm).expect("every key can be published");
        let public = serde_json::to_value(public).expect("a key is JSON");
        KeyPair { kid: kid.to_owned(), algorithm, private, public }.named(kid)
    }

    /// The same pair under another key id.
    #[must_use]
    pub fn named(mut self, kid: &str) -> KeyPair {
        self.kid = kid.to_owned();
        self.public["kid"] = kid.into();
        self
    }

    /// The public key as a JWK; for a symmetric algorithm, the secret.
    pub fn jwk(&self) -> &Value {
        &self.public
    }

    /// A token with these claims, signed with this key, with its `kid` in the header.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.private).expect("JSON claims can be signed")
    }

    /// A token with this header, signed with this key and its algorithm, whatever the header names.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, self.algorithm);
        format!("{message}.{}", signature.expect("any bytes can be signed"))
    }
}

/// A key set (JWKS) of the public keys.
pub fn key_set<'a>(pairs: impl IntoIterator<Item = &'a KeyPair>) -> Value {
    let keys: Vec<_> = pairs.into_iter().map(KeyPair::jwk).collect();
    json!({ "keys": keys })
}

static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).expect("a key is generated");
    key.to_pkcs1_der().expect("a key can be encoded").as_bytes().to_vec()
});

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
