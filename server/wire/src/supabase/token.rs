//! A token sent while connected: the payload of `access_token`.

use std::borrow::Cow;

use crate::raw_json;

/// The prefix of opaque API keys. They are not JWTs: the gateway replaces them by one in the handshake.
const API_KEY_PREFIX: &str = "sb_";

/// Whether `token` is an opaque API key rather than a JWT.
pub(super) fn is_api_key(token: &str) -> bool {
    token.starts_with(API_KEY_PREFIX)
}

/// The token that a client wants to use from now on.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenRefresh<'a> {
    /// This token.
    New(Cow<'a, str>),
    /// The current one: it signed out (`null`), or sent an opaque API key.
    Unchanged,
    /// There is no token in the message.
    Unreadable,
}

impl std::fmt::Debug for TokenRefresh<'_> {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New(_) => "New(…)",
            Self::Unchanged => "Unchanged",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl<'a> TokenRefresh<'a> {
    /// Reads the payload of `access_token`.
    pub fn parse(payload: &'a str) -> Self {
        let Ok([Some(token)]) = raw_json::properties(payload, ["access_token"]) else {
            return Self::Unreadable;
        };
        if token == "null" {
            return Self::Unchanged;
        }
        match raw_json::string(token) {
            Some(token) if is_api_key(&token) => Self::Unchanged,
            Some(token) => Self::New(token),
            None => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_a_map_and_from_nothing_else() {
        assert_eq!(TokenRefresh::parse(r#"{"access_token":"a.b.c"}"#), TokenRefresh::New("a.b.c".into()));
        assert_eq!(TokenRefresh::parse(r#"{"access_token":null}"#), TokenRefresh::Unchanged);
        assert_eq!(TokenRefresh::parse(r#"{"access_token":"sb_publishable_x"}"#), TokenRefresh::Unchanged);
        for unreadable in
            ["{}", r#"["a.b.c"]"#, r#"{"access_token":7}"#, r#"{"access_token":["a"]}"#, "null", ""]
        {
            assert_eq!(TokenRefresh::parse(unreadable), TokenRefresh::Unreadable, "{unreadable}");
        }
    }
}
