//! Addresses of other programs (URLs): whether text is one, and what of it may be seen.
//!
//! A password may stand before the host, a key in the query or behind it. So only scheme, host and path are
//! ever shown, and of what cannot be taken apart nothing at all.

use url::{Position, Url};

/// Whether `text` is an address that somebody can connect to, and begins with one of `schemes` (`https://`).
pub(crate) fn is_address(text: &str, schemes: &[String]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme.as_str()));
    // The parser forgives more than whoever connects: `http:///host`, and blanks.
    rest.is_some_and(|rest| !rest.starts_with(['/', '\\']) && !rest.contains(char::is_whitespace))
        && Url::parse(text).is_ok_and(|url| url.has_host() && leads_somewhere(&url))
}

/// Redis has numbers where others have paths.
fn leads_somewhere(url: &Url) -> bool {
    let path = url.path().trim_matches('/');
    !url.scheme().starts_with("redis") || path.bytes().all(|byte| byte.is_ascii_digit())
}

/// What of `text` may be seen, with `…` for what may not; nothing if it is no address.
pub(crate) fn shown(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(Url::has_host)?;
    // A password whose `/` or `#` is not percent-encoded ends the host too soon, and goes on here.
    if url[Position::BeforePath..].contains('@') {
        return None;
    }
    let hidden = |is_there: bool, sign| if is_there { sign } else { "" };
    let user = hidden(!url.username().is_empty() || url.password().is_some(), "…@");
    let more = hidden(url.query().is_some() || url.fragment().is_some(), "?…");
    let host_and_path = &url[Position::BeforeHost..Position::AfterPath];
    Some(format!("{}://{user}{host_and_path}{more}", url.scheme()))
}
