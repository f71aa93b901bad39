//! Where a request may have its token, the same places for a handshake and for HTTP.
//!
//! | place | sent there by |
//! |---|---|
//! | header `authorization: Bearer <token>` | SDKs over HTTP |
//! | header `apikey` | SDKs over HTTP, beside the former |
//! | header `x-api-key` | gateways, with the token that replaces an opaque key |
//! | query `apikey` | SDKs at the handshake: browsers can set no header there |
//! | query `token` | clients of documents, and the Realtime SDK, at the handshake |
//! | subprotocols `bearer` and, as the next one, the token | the same |
//! | subprotocol `base64url.bearer.phx.<token in base64url>` | phoenix.js 1.8 with `authToken` |
//!
//! Where there are several, the order is upstream's, which differs: over HTTP the user's token in `authorization`
//! precedes the application's key; at the handshake the gateway's token is the first, then the SDK's, and
//! `authorization`, which may be meant for a proxy in front of the server, is the last.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, Uri, header};

use crate::query;

/// The subprotocol before a token.
const BEARER: &str = "bearer";

/// The prefix of a token among the subprotocols that phoenix.js offers.
const BEARER_SUBPROTOCOL: &str = "base64url.bearer.phx.";

/// phoenix.js uses the standard alphabet without padding, although the prefix says base64url.
const ENGINES: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT), GeneralPurpose::new(&alphabet::STANDARD, LENIENT)];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The tokens of one request, by place. Has no `Debug`, so that none is logged.
pub struct Credentials<'a> {
    authorization: Option<Authorization<'a>>,
    api_key_header: Option<Cow<'a, str>>,
    gateway: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
    subprotocol: Option<Cow<'a, str>>,
}

/// The content of the header `authorization`.
enum Authorization<'a> {
    Bearer(Cow<'a, str>),
    /// Another scheme, which is ignored.
    OtherScheme,
    /// A word without a scheme.
    Invalid,
}

impl<'a> Credentials<'a> {
    /// The tokens of the request with these headers and this URI.
    pub fn of(headers: &'a HeaderMap, uri: &'a Uri) -> Self {
        let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        Self {
            authorization: text(header::AUTHORIZATION.as_str()).and_then(Authorization::read),
            api_key_header: text("apikey"),
            gateway: text("x-api-key"),
            query: query::parameter(uri, "apikey"),
            subprotocol: in_subprotocols(headers).map(Cow::Owned),
        }
    }

    /// The token that a handshake is verified by.
    pub fn for_handshake(self) -> Option<Cow<'a, str>> {
        let authorization = || match self.authorization {
            Some(Authorization::Bearer(token)) => Some(token),
            _ => None,
        };
        self.gateway.or(self.query).or(self.subprotocol).or(self.api_key_header).or_else(authorization)
    }

    /// The token that a handshake for documents or rooms of the Realtime SDK is verified by: that of the query `token`, that of the
    /// subprotocols `bearer, <token>`, else that of any other handshake.
    pub fn for_rooms(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
        query::lenient_parameter(uri, "token")
            .or_else(|| behind_bearer(headers).map(Cow::Borrowed))
            .or_else(|| Self::of(headers, uri).for_handshake())
    }

    /// The token that an HTTP request is verified by. An invalid `authorization` is a missing token, one of another scheme
    /// is ignored (`docs/protocol/http.md#broadcast-checks`).
    pub fn for_http(self) -> Option<Cow<'a, str>> {
        match self.authorization {
            Some(Authorization::Bearer(token)) => Some(token),
            Some(Authorization::Invalid) => None,
            Some(Authorization::OtherScheme) | None => {
                self.api_key_header.or(self.gateway).or(self.query).or(self.subprotocol)
            }
        }
    }
}

impl<'a> Authorization<'a> {
    /// `None` if it is empty.
    fn read(text: Cow<'a, str>) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let Some((scheme, token)) = text.split_once(' ') else { return Some(Self::Invalid) };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::OtherScheme);
        }
        Some(Self::Bearer(match &text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[text.len() - token.len()..]),
            Cow::Owned(_) => Cow::Owned(token.to_owned()),
        }))
    }
}

/// The subprotocol that is confirmed to a client that offers some and would otherwise refuse the connection: one that is not
/// a token, since responses are logged on their way.
pub fn confirmed_subprotocol(headers: &HeaderMap) -> Option<&str> {
    if subprotocols(headers).any(|one| one == BEARER) {
        return Some(BEARER);
    }
    subprotocols(headers).find(|one| !one.is_empty() && !one.starts_with(BEARER_SUBPROTOCOL))
}

/// The subprotocol that follows `bearer`.
fn behind_bearer(headers: &HeaderMap) -> Option<&str> {
    let mut offered = subprotocols(headers).skip_while(|one| *one != BEARER);
    offered.nth(1)
}

/// The token among the subprotocols that the client offers.
fn in_subprotocols(headers: &HeaderMap) -> Option<String> {
    let token = subprotocols(headers).find_map(|offered| offered.strip_prefix(BEARER_SUBPROTOCOL))?;
    let decoded = ENGINES.iter().find_map(|engine| engine.decode(token).ok());
    // What cannot be decoded is an invalid token, not a missing one.
    Some(decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default())
}

/// The subprotocols that the client offers, from all lines of the header.
pub fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn tokens(headers: &[(&'static str, &str)], uri: &str) -> [Option<String>; 2] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let uri: Uri = uri.parse().expect("an address");
        let owned = |token: Option<Cow<'_, str>>| token.map(Cow::into_owned);
        [owned(Credentials::of(&map, &uri).for_handshake()), owned(Credentials::of(&map, &uri).for_http())]
    }

    fn both(token: &str) -> [Option<String>; 2] {
        [Some(token.to_owned()), Some(token.to_owned())]
    }

    #[test]
    fn every_place_is_read_for_handshakes_and_for_http() {
        assert_eq!(tokens(&[("authorization", "Bearer t")], "/"), both("t"));
        assert_eq!(tokens(&[("authorization", "bearer t")], "/"), both("t"));
        assert_eq!(tokens(&[("apikey", "t")], "/"), both("t"));
        assert_eq!(tokens(&[("x-api-key", "t")], "/"), both("t"));
        assert_eq!(tokens(&[], "/?vsn=2.0.0&apikey=t%2Eu"), both("t.u"));
        assert_eq!(
            tokens(&[("sec-websocket-protocol", "phoenix, base64url.bearer.phx.dC51")], "/"),
            both("t.u")
        );
        let on_two_lines =
            [("sec-websocket-protocol", "phoenix"), ("sec-websocket-protocol", "base64url.bearer.phx.dC51")];
        assert_eq!(tokens(&on_two_lines, "/"), both("t.u"));
        assert_eq!(tokens(&[], "/"), [None, None]);
    }

    #[test]
    fn of_several_tokens_upstreams_choice_is_used() {
        let all = [("authorization", "Bearer user"), ("apikey", "key"), ("x-api-key", "gateway")];
        let expected = [Some("gateway".to_owned()), Some("user".to_owned())];
        assert_eq!(tokens(&all, "/?apikey=query"), expected);
        let expected = [Some("query".to_owned()), Some("key".to_owned())];
        assert_eq!(tokens(&all[1..2], "/?apikey=query"), expected);
        let expected = [Some("query".to_owned()), Some("user".to_owned())];
        assert_eq!(tokens(&all[..1], "/?apikey=query"), expected);
    }

    #[test]
    fn rooms_and_documents_have_two_places_more() {
        let token = |offered: &str, uri: &str| {
            let mut headers = HeaderMap::new();
            headers
                .insert("sec-websocket-protocol", HeaderValue::from_str(offered).expect("a header's value"));
            let uri: Uri = uri.parse().expect("an address");
            Credentials::for_rooms(&headers, &uri).map(Cow::into_owned)
        };
        assert_eq!(token("", "/a?x=1?token=t%2Eu&apikey=k"), Some("t.u".to_owned()));
        assert_eq!(token("bearer, t.u", "/?token=q"), Some("q".to_owned()));
        assert_eq!(token("mine, bearer, t.u", "/?apikey=k"), Some("t.u".to_owned()));
        assert_eq!(token("bearer", "/?apikey=k"), Some("k".to_owned()));
        assert_eq!(token("mine", "/"), None);
    }

    #[test]
    fn the_subprotocol_that_is_confirmed_is_no_token() {
        let confirmed = |offered: &str| {
            let mut headers = HeaderMap::new();
            headers
                .insert("sec-websocket-protocol", HeaderValue::from_str(offered).expect("a header's value"));
            confirmed_subprotocol(&headers).map(str::to_owned)
        };
        assert_eq!(confirmed("bearer, t.u"), Some("bearer".to_owned()));
        assert_eq!(confirmed("mine, bearer, t.u"), Some("bearer".to_owned()));
        assert_eq!(confirmed("base64url.bearer.phx.dC51, mine"), Some("mine".to_owned()));
        assert_eq!(confirmed("base64url.bearer.phx.dC51"), None);
        assert_eq!(confirmed(""), None);
    }

    #[test]
    fn another_scheme_is_ignored_and_a_word_without_one_is_invalid() {
        let key = ("apikey", "key");
        assert_eq!(tokens(&[("authorization", "Basic x"), key], "/"), both("key"));
        assert_eq!(tokens(&[("authorization", "x"), key], "/"), [Some("key".to_owned()), None]);
        assert_eq!(tokens(&[("authorization", ""), key], "/"), both("key"));
    }

    #[test]
    fn an_empty_token_is_not_a_missing_one() {
        assert_eq!(tokens(&[], "/?apikey="), both(""));
        assert_eq!(tokens(&[("sec-websocket-protocol", "base64url.bearer.phx.%%%")], "/"), both(""));
    }
}
