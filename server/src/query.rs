//! Parameters in the query of a request target.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// The value of the parameter `name`, percent-decoded. The last one if there are several, as in Phoenix; empty if it has no
/// `=`.
pub fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    last(uri.query()?.split('&'), name)
}

/// As [`parameter`], where a further `?` begins a pair as well: y-websocket appends its parameters to the name of a room without
/// looking whether there is one.
pub fn lenient_parameter<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    last(uri.query()?.split(['&', '?']), name)
}

fn last<'a>(pairs: impl DoubleEndedIterator<Item = &'a str>, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
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

    #[test]
    fn a_further_question_mark_begins_a_pair_where_that_is_asked_for() {
        let uri: Uri = "/team/doc?x=1?token=a%20b%26c&y=2".parse().expect("an address");
        assert_eq!(lenient_parameter(&uri, "token").as_deref(), Some("a b&c"));
        assert_eq!(lenient_parameter(&uri, "x").as_deref(), Some("1"));
        assert_eq!(parameter(&uri, "token"), None);
    }
}
