//! The id of a request: given by its sender, or made up (docs/protocol/http.md#request-ids).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

/// Where an answer says it, and a request may.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lengths of an id in the header of its own.
const IN_HEADER: std::ops::RangeInclusive<usize> = 20..=200;

/// Lengths of an id among the baggage.
const IN_BAGGAGE: std::ops::RangeInclusive<usize> = 10..=200;

/// Bytes of chance in an id we make up; written as 20 characters.
const CHANCE: usize = 15;

/// The id of the request with these headers.
pub(super) fn choose(headers: &HeaderMap, baggage_key: &str) -> String {
    let said = in_baggage(headers, baggage_key).or_else(|| in_header(headers));
    said.unwrap_or_else(make_up)
}

/// The id as a header's value.
pub(super) fn value(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("an id is printable ASCII")
}

/// The member of the W3C header `baggage` that has this key: `key=value;property, key=value`.
fn in_baggage(headers: &HeaderMap, key: &str) -> Option<String> {
    let lists = headers.get_all("baggage").iter().filter_map(|list| list.to_str().ok());
    let mut members = lists.flat_map(|list| list.split(','));
    let value = members.find_map(|member| {
        let (name, value) = member.split(';').next()?.split_once('=')?;
        (name.trim() == key).then(|| percent_decode_str(value.trim()))
    })?;
    let id = value.decode_utf8().ok()?;
    (IN_BAGGAGE.contains(&id.len()) && is_printable(&id)).then(|| id.into_owned())
}

fn in_header(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    (IN_HEADER.contains(&id.len()) && is_printable(id)).then(|| id.to_owned())
}

/// It will stand in a header and in the log.
fn is_printable(id: &str) -> bool {
    id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn make_up() -> String {
    let mut chance = [0; CHANCE];
    // A system without chance has worse troubles than requests of one name.
    let _best_effort = getrandom::fill(&mut chance);
    BASE64_URL_SAFE_NO_PAD.encode(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(said: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(*name, value.parse().expect("a header's value"));
        }
        choose(&headers, "request-id")
    }

    #[test]
    fn baggage_comes_first_then_the_header_of_its_own() {
        let header = ("x-request-id", "from-the-header-0123456789");
        let baggage = ("baggage", "user=ann, request-id = from%20baggage ;why=not, other=x");
        assert_eq!(chosen(&[header, baggage]), "from baggage");
        assert_eq!(chosen(&[header, ("baggage", "user=ann"), baggage]), "from baggage", "in a second line");
        assert_eq!(chosen(&[header, ("baggage", "request-id=short")]), header.1);
        assert_eq!(chosen(&[header, ("baggage", "user=ann")]), header.1);
    }

    #[test]
    fn what_is_no_id_is_replaced_by_one_we_make_up() {
        let long = "x".repeat(201);
        for said in [
            ("x-request-id", "nineteen-characters"),
            ("x-request-id", &long),
            ("x-request-id", "with a\ttab in the middle"),
            ("baggage", "request-id=a%0Anew%20line"),
            ("baggage", "request-id=%FF%FE%FF%FE%FF%FE"),
            ("baggage", "=;,request-id"),
        ] {
            let id = chosen(&[said]);
            assert_eq!(id.len(), 20, "{said:?}");
            assert_ne!(id, chosen(&[said]), "another each time");
        }
    }

    #[test]
    fn the_ends_of_the_lengths_belong_to_them() {
        for length in [20, 200] {
            let id = "i".repeat(length);
            assert_eq!(chosen(&[("x-request-id", &id)]), id);
        }
        let id = "i".repeat(10);
        assert_eq!(chosen(&[("baggage", &format!("request-id={id}"))]), id);
    }
}
