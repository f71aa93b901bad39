//! The `vsn` of the handshake: a semantic version that must match `~> 1.0.0` or `~> 2.0.0`.
//!
//! Both requirements pin major and minor and allow any later patch, so no number has to be computed. The syntax is checked
//! as strictly as Elixir does: a version that Elixir refuses is answered with 403 here as well.

use hub::Dialect;

use super::{V1, V2};

/// The dialect that a handshake asks for; `None` if there is no such dialect. Clients from before `vsn` send none and use
/// V1.
pub fn dialect_of_version(vsn: Option<&str>) -> Option<Dialect> {
    let Some(version) = vsn else { return Some(V1) };
    let (version, build) = split_suffix(version, '+');
    let (numbers, pre_release) = split_suffix(version, '-');
    let mut numbers = numbers.split('.');
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let well_formed = numbers.next().is_none()
        && is_number(patch)
        && pre_release.is_none_or(|parts| parts.split('.').all(is_pre_release_part))
        && build.is_none_or(|parts| parts.split('.').all(is_identifier));
    // A pre-release precedes its release, so 1.0.0-rc is below 1.0.0, while 1.0.1-rc is not.
    let reached = patch != "0" || pre_release.is_none();
    match (major, minor) {
        ("1", "0") if well_formed && reached => Some(V1),
        ("2", "0") if well_formed && reached => Some(V2),
        _ => None,
    }
}

fn split_suffix(version: &str, separator: char) -> (&str, Option<&str>) {
    match version.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (version, None),
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_digit())
        && (part == "0" || !part.starts_with('0'))
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// An identifier; if it is a number, without leading zeros.
fn is_pre_release_part(part: &str) -> bool {
    is_identifier(part) && (!part.bytes().all(|byte| byte.is_ascii_digit()) || is_number(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_means_v1() {
        assert_eq!(dialect_of_version(None), Some(V1));
    }

    #[test]
    fn any_patch_of_1_0_and_2_0_is_accepted() {
        for vsn in ["1.0.0", "1.0.7", "1.0.99999999999999999999", "1.0.0+build.01", "1.0.1-rc.1"] {
            assert_eq!(dialect_of_version(Some(vsn)), Some(V1), "{vsn}");
        }
        for vsn in ["2.0.0", "2.0.1-rc--x+b", "2.0.10"] {
            assert_eq!(dialect_of_version(Some(vsn)), Some(V2), "{vsn}");
        }
    }

    #[test]
    fn other_versions_are_refused() {
        for vsn in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "1.1.0",
            "2.1.0",
            "3.0.0",
            "0.0.1",
            "v1.0.0",
            " 1.0.0",
            "1.0.0 ",
            "01.0.0",
            "1.00.0",
            "1.0.00",
            "1.0.x",
            "1.0.-1",
            "1.0.0-rc",
            "1.0.0-",
            "1.0.1-",
            "1.0.1-01",
            "1.0.1-a..b",
            "1.0.0+",
            "1.0.0+a+b",
            "1.0.1-é",
            "2.0.",
            "2..0",
            "~> 1.0.0",
        ] {
            assert_eq!(dialect_of_version(Some(vsn)), None, "{vsn}");
        }
    }
}
