//! Valid and invalid tokens by name.
//!
//! A script writes `with token expired`, or `$expired` inside a frame; Rust code writes [`Token::Expired`].
//! Each invalid token has exactly one defect.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// `{"alg":"none","typ":"JWT"}`
const HEADER_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A user's token, valid for an hour, with the `aud` that Supabase writes.
    Valid,
    /// Valid until the year 292,277,026,596: no timer may overflow.
    Eternal,
    /// Valid for two seconds.
    Soon,
    /// Expired ten seconds ago.
    Expired,
    /// Signed with another secret.
    Forged,
    /// Without `role`.
    Roleless,
    /// Without `exp`.
    Endless,
    /// `alg: none`, no signature.
    Unsigned,
    /// `RS256` in the header, but signed by HMAC with the secret as if it were a public key.
    Confused,
    /// Not a token.
    Garbage,
    /// No token at all.
    Nothing,
}

impl Token {
    /// All kinds, with their names in scripts.
    pub const ALL: [(&str, Token); 11] = [
        ("valid", Token::Valid),
        ("eternal", Token::Eternal),
        ("soon", Token::Soon),
        ("expired", Token::Expired),
        ("forged", Token::Forged),
        ("roleless", Token::Roleless),
        ("endless", Token::Endless),
        ("unsigned", Token::Unsigned),
        ("confused", Token::Confused),
        ("garbage", Token::Garbage),
        ("nothing", Token::Nothing),
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Token> {
        Token::ALL.iter().find(|(known, _)| *known == name).map(|(_, token)| *token)
    }
}

/// Signs the tokens of a server under test.
#[derive(Debug, Clone)]
pub struct TokenIssuer {
    secret: Vec<u8>,
}

impl TokenIssuer {
    /// An issuer that signs with `secret`.
    pub fn new(secret: impl Into<String>) -> TokenIssuer {
        TokenIssuer { secret: secret.into().into_bytes() }
    }

    /// An issuer whose secret may be any bytes.
    pub fn of_bytes(secret: &[u8]) -> TokenIssuer {
        TokenIssuer { secret: secret.into() }
    }

    /// The secret itself.
    ///
    /// # Panics
    /// When it is not text.
    pub fn secret(&self) -> &str {
        std::str::from_utf8(&self.secret).expect("the secret is text")
    }

    /// A token of a kind; [`Token::Nothing`] is the empty string.
    pub fn token(&self, kind: Token) -> String {
        let claims = |seconds: i64| json!({"role": "authenticated", "aud": "authenticated", "sub": "ann", "exp": now() + seconds});
        match kind {
            Token::Valid => self.sign(&claims(3600)),
            Token::Eternal => self.sign(&json!({"role": "authenticated", "exp": i64::MAX})),
            Token::Soon => self.sign(&claims(2)),
            Token::Expired => self.sign(&claims(-10)),
            Token::Forged => TokenIssuer::new("another secret, of thirty-two bytes").sign(&claims(3600)),
            Token::Roleless => self.sign(&json!({"sub": "ann", "exp": now() + 3600})),
            Token::Endless => self.sign(&json!({"sub": "ann", "role": "authenticated"})),
            Token::Unsigned => format!("{HEADER_NONE}.{}.", self.claims_part(&claims(3600))),
            Token::Confused => self.sign_with_header(&json!({"alg": "RS256", "typ": "JWT"}), &claims(3600)),
            Token::Garbage => "not-a-jwt".to_owned(),
            Token::Nothing => String::new(),
        }
    }

    /// A token with these claims, signed with HS256.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(Algorithm::HS256, claims)
    }

    /// A token with these claims, signed with HS512.
    pub fn sign_hs512(&self, claims: &Value) -> String {
        self.sign_as(Algorithm::HS512, claims)
    }

    /// A token with this header, signed with HS256 whatever the header names.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key(), Algorithm::HS256);
        format!("{message}.{}", signature.expect("any bytes can be signed"))
    }

    fn sign_as(&self, algorithm: Algorithm, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &self.key()).expect("JSON claims can be signed")
    }

    fn claims_part(&self, claims: &Value) -> String {
        let signed = self.sign(claims);
        signed.split('.').nth(1).expect("a token has three parts").to_owned()
    }

    fn key(&self) -> EncodingKey {
        EncodingKey::from_secret(&self.secret)
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("it is before the year 292,277,026,596")
}
