//! URLs of other programs: whether a text is one, and which parts of it may be shown.
//!
//! A password may stand before the host, a key in the query or behind it. So only scheme, host and path are
//! ever shown, and of what cannot be taken apart nothing at all.

use url::{Position, Url};

/// The address in `text` with its scheme in lower case, if it has a host to connect to and begins with one of
/// `schemes` (`https://`).
pub(crate) fn canonical(text: &str, schemes: &[String]) -> Option<String> {
    let (scheme, rest) = split(text, schemes)?;
    // The parser accepts more than clients can connect to: `http:///host`, and white space.
    let strict = !rest.starts_with(['/', '\\']) && !rest.contains(char::is_whitespace);
    let usable = |url: Url| url.has_host() && !password_ends_the_host(&url) && leads_somewhere(&url);
    (strict && Url::parse(text).is_ok_and(usable)).then(|| format!("{scheme}{rest}"))
}

/// What to do about a `text` that is no such address. Repeats nothing of it.
pub(crate) fn advice(text: &str, schemes: &[String]) -> Option<String> {
    const ENCODE: &str = "percent-encode special characters in a user name or password: / is %2F, # is %23, ? is %3F, @ is %40, % is %25";
    let Some((_, rest)) = split(text.trim(), schemes) else {
        return (!text.contains("://")).then(|| "put the scheme before the host".into());
    };
    let after_host = rest.find(['/', '#', '?']).map_or("", |end| &rest[end..]);
    let help = match Url::parse(text.trim()) {
        _ if after_host.contains('@') => ENCODE,
        _ if text.contains(char::is_whitespace) => "remove the white space",
        Ok(url) if url.has_host() && !leads_somewhere(&url) => {
            "after the host, write the number of a database, such as /0, or nothing"
        }
        _ if rest.contains('@') => ENCODE,
        _ => return None,
    };
    Some(help.into())
}

/// An address without the user and the password, to be compared. `None` if it has no host that they could belong to.
pub(crate) fn without_credentials(text: &str) -> Option<Url> {
    let mut url = without_password(text)?;
    url.set_username("").ok()?;
    remove_parameter(&mut url, "user");
    Some(url)
}

/// An address without the password, likewise.
pub(crate) fn without_password(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    url.set_password(None).ok()?;
    remove_parameter(&mut url, "password");
    Some(url)
}

/// Removes a parameter of the query, from which PostgreSQL reads credentials as well. A query without any is none.
fn remove_parameter(url: &mut Url, removed: &str) {
    let others = url.query_pairs().into_owned().filter(|(name, _)| name != removed);
    let others: Vec<_> = others.collect();
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
}

/// The scheme, in lower case, and what follows it.
fn split<'a>(text: &'a str, schemes: &'a [String]) -> Option<(&'a str, &'a str)> {
    schemes.iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some((scheme.as_str(), rest))
    })
}

/// Redis has numbers where others have paths.
fn leads_somewhere(url: &Url) -> bool {
    let path = url.path().trim_matches('/');
    !is_redis(url) || path.bytes().all(|byte| byte.is_ascii_digit())
}

/// `redis://user:12#34@host` is the host `user` to a parser. For others an `@` may well stand in a path or query.
fn password_ends_the_host(url: &Url) -> bool {
    let after_host = if is_redis(url) { Position::BeforePath } else { Position::AfterQuery };
    url[after_host..].contains('@')
}

fn is_redis(url: &Url) -> bool {
    url.scheme().starts_with("redis")
}

/// What of `text` may be seen, with `…` for what may not; nothing if it is no address.
pub fn redacted(text: &str) -> Option<String> {
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
