//! Parameters in the query of a request target.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// The value of the parameter `name`, percent-decoded. The last one if there are several, as in Phoenix; empty if it has no
/// `=`.
pub fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.rfind(|(known, _)| *known == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_and_the_last_one_is_used() {
        let uri: Uri = "/?a=1&b=x%2Ey&a=2&c&d=".parse().expect("an address");
        let value = |name| parameter(&uri, name).map(Cow::into_owned);
        let found = ["a", "b", "c", "d", "e"].map(value);
        let expected = [Some("2"), Some("x.y"), Some(""), Some(""), None];
        assert_eq!(found, expected.map(|value| value.map(str::to_owned)));
        assert_eq!(parameter(&Uri::from_static("/"), "a"), None);
    }
}
