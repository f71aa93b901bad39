//! The id of a request: chosen by the client, or generated (docs/protocol/http.md#request-ids).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

/// The header of every response, and of requests whose client chooses the id.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Accepted lengths of an id in `x-request-id`.
const HEADER_LENGTHS: std::ops::RangeInclusive<usize> = 20..=200;

/// Accepted lengths of an id in `baggage`.
const BAGGAGE_LENGTHS: std::ops::RangeInclusive<usize> = 10..=200;

/// Random bytes in a generated id, which are 20 characters of base64.
const RANDOM_BYTES: usize = 15;

/// The id of the request with these headers.
pub(super) fn choose(headers: &HeaderMap, baggage_key: &str) -> String {
    let chosen = in_baggage(headers, baggage_key).or_else(|| in_header(headers));
    chosen.unwrap_or_else(generate)
}

/// The id as a header's value.
pub(super) fn value(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("an id is printable ASCII")
}

/// The value that the W3C header `baggage` has for this key: `key=value;property, key=value`.
fn in_baggage(headers: &HeaderMap, key: &str) -> Option<String> {
    let lists = headers.get_all("baggage").iter().filter_map(|list| list.to_str().ok());
    let mut members = lists.flat_map(|list| list.split(','));
    let value = members.find_map(|member| {
        let (name, value) = member.split(';').next()?.split_once('=')?;
        (name.trim() == key).then(|| percent_decode_str(value.trim()))
    })?;
    let id = value.decode_utf8().ok()?;
    (BAGGAGE_LENGTHS.contains(&id.len()) && is_printable(&id)).then(|| id.into_owned())
}

fn in_header(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    (HEADER_LENGTHS.contains(&id.len()) && is_printable(id)).then(|| id.to_owned())
}

/// Whether the id can be written to a header and to the log.
fn is_printable(id: &str) -> bool {
    id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn generate() -> String {
    let mut random = [0; RANDOM_BYTES];
    // Without randomness all ids are the same, which is no reason to refuse requests.
    let _best_effort = getrandom::fill(&mut random);
    BASE64_URL_SAFE_NO_PAD.encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(sent: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header's value"));
        }
        choose(&headers, "request-id")
    }

    #[test]
    fn baggage_precedes_the_header_x_request_id() {
        let header = ("x-request-id", "from-the-header-0123456789");
        let baggage = ("baggage", "user=ann, request-id = from%20baggage ;why=not, other=x");
        assert_eq!(chosen(&[header, baggage]), "from baggage");
        assert_eq!(
            chosen(&[header, ("baggage", "user=ann"), baggage]),
            "from baggage",
            "in a second header line"
        );
        assert_eq!(chosen(&[header, ("baggage", "request-id=short")]), header.1);
        assert_eq!(chosen(&[header, ("baggage", "user=ann")]), header.1);
    }

    #[test]
    fn an_invalid_id_is_replaced_by_a_generated_one() {
        let long = "x".repeat(201);
        for sent in [
            ("x-request-id", "nineteen-characters"),
            ("x-request-id", &long),
            ("x-request-id", "with a\ttab in the middle"),
            ("baggage", "request-id=a%0Anew%20line"),
            ("baggage", "request-id=%FF%FE%FF%FE%FF%FE"),
            ("baggage", "=;,request-id"),
        ] {
            let id = chosen(&[sent]);
            assert_eq!(id.len(), 20, "{sent:?}");
            assert_ne!(id, chosen(&[sent]), "generated ids differ");
        }
    }

    #[test]
    fn the_shortest_and_the_longest_id_are_accepted() {
        for length in [20, 200] {
            let id = "i".repeat(length);
            assert_eq!(chosen(&[("x-request-id", &id)]), id);
        }
        let id = "i".repeat(10);
        assert_eq!(chosen(&[("baggage", &format!("request-id={id}"))]), id);
    }
}
