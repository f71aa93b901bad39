//! Addresses of receivers of metrics and spans, in the log and in `/status`.

use settings::redacted_address;

/// An address without what may be secret in it: with receivers that is the path too, where some have a key.
pub fn shown(url: &str) -> String {
    let Some(seen) = redacted_address(url) else { return "an address that is not shown".into() };
    let host = seen.find("://").map_or(0, |colon| colon + 3);
    match seen[host..].find('/').map(|slash| host + slash) {
        Some(path) if seen.len() > path + 1 => format!("{}/…", &seen[..path]),
        _host_alone => seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_its_scheme_and_host_are_shown() {
        assert_eq!(shown("https://a.example"), "https://a.example/");
        assert_eq!(
            shown("https://ann:secret@a.example:8443/insert/key?more=1"),
            "https://…@a.example:8443/…"
        );
        assert_eq!(shown("https://a.example/?key=1"), "https://a.example/…");
        assert_eq!(shown("https://a.example/x@y"), "an address that is not shown");
    }
}
