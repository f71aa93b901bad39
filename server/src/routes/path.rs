//! Paths of routes, and the parameters that a request's path has for them.

/// What Supabase's gateway strips. No gateway stands in front of this server, so that it strips the prefix itself
/// (docs/protocol/websocket.md#paths).
const GATEWAY_PREFIX: [&str; 2] = ["realtime", "v1"];

/// How much of a path its last parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastParameter {
    /// What is before the next slash.
    Segment,
    /// All that is left, slashes included.
    Rest,
}

/// How literally a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    /// As it is written.
    Exact,
    /// Below the gateway's prefix as well, and with empty segments ignored: SDKs append paths to addresses that end with
    /// a slash.
    Lenient,
    /// Below the gateway's prefix as well, and with or without a slash at the end; otherwise as it is written, so that a
    /// gateway can filter such paths.
    Prefixed,
}

/// A declared path.
#[derive(Debug, Clone)]
pub(super) struct PathPattern {
    pub(super) text: &'static str,
    matching: Matching,
    segments: Vec<Segment>,
}

/// What is between two slashes.
#[derive(Debug, Clone, Copy)]
enum Segment {
    Literal(&'static str),
    Parameter(&'static str),
    /// A parameter that is the rest of the path, slashes included.
    Rest(&'static str),
}

/// The parameters of a request's path, not decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathParameters(Vec<(&'static str, Box<str>)>);

impl PathParameters {
    /// The value of the parameter `name`, if the path has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

impl PathPattern {
    pub(super) fn new(text: &'static str, matching: Matching) -> Self {
        let segment = |text: &'static str| {
            let parameter = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            parameter.map_or(Segment::Literal(text), Segment::Parameter)
        };
        let segments = text.split('/').filter(|text| !text.is_empty()).map(segment).collect();
        Self { text, matching, segments }
    }

    /// The same path, whose last segment is a parameter with this extent.
    pub(super) fn last_parameter(mut self, extent: LastParameter) -> Self {
        if let (LastParameter::Rest, Some(last)) = (extent, self.segments.last_mut())
            && let Segment::Parameter(name) = *last
        {
            *last = Segment::Rest(name);
        }
        self
    }

    /// The parameters in `path`; `None` if it is another path.
    pub(super) fn parameters(&self, path: &RequestPath<'_>) -> Option<PathParameters> {
        let segments = match self.matching {
            Matching::Exact => &path.exact,
            Matching::Lenient => path.lenient(),
            Matching::Prefixed => path.prefixed(),
        };
        let has_rest = matches!(self.segments.last(), Some(Segment::Rest(_)));
        let is_longer = segments.len() > self.segments.len();
        if segments.len() < self.segments.len() || (is_longer && !has_rest) {
            return None;
        }
        let mut parameters = PathParameters::default();
        for (declared, given) in self.segments.iter().zip(segments) {
            match declared {
                Segment::Literal(text) if text == given => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(name) => parameters.0.push((name, (*given).into())),
                Segment::Rest(name) => parameters.0.push((name, path.rest_at(given).into())),
            }
        }
        Some(parameters)
    }
}

/// A request's path, split for each way of matching.
pub(super) struct RequestPath<'a> {
    whole: &'a str,
    exact: Vec<&'a str>,
    non_empty: Vec<&'a str>,
}

impl<'a> RequestPath<'a> {
    pub(super) fn split(path: &'a str) -> Self {
        let exact: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let non_empty = exact.iter().copied().filter(|segment| !segment.is_empty()).collect();
        Self { whole: path, exact, non_empty }
    }

    /// The path from the beginning of `segment`, which is one of its segments.
    fn rest_at(&self, segment: &str) -> &'a str {
        &self.whole[segment.as_ptr().addr() - self.whole.as_ptr().addr()..]
    }

    fn prefixed(&self) -> &[&'a str] {
        let path = self.exact.strip_suffix(&[""]).unwrap_or(&self.exact);
        path.strip_prefix(&GATEWAY_PREFIX).unwrap_or(path)
    }

    fn lenient(&self) -> &[&'a str] {
        self.non_empty.strip_prefix(&GATEWAY_PREFIX).unwrap_or(&self.non_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pattern: &PathPattern, path: &str) -> Option<Vec<String>> {
        let found = pattern.parameters(&RequestPath::split(path))?;
        Some(found.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn an_exact_path_is_found_as_it_is_written_and_nowhere_else() {
        let pattern = PathPattern::new("/admin/tenants/{id}/disconnect", Matching::Exact);
        let found = |path| parameters(&pattern, path);
        assert_eq!(found("/admin/tenants/a%20b/disconnect"), Some(vec!["id=a%20b".into()]));
        assert_eq!(found("/admin/tenants//disconnect"), Some(vec!["id=".into()]));
        for path in [
            "/admin/tenants/a/disconnect/",
            "//admin/tenants/a/disconnect",
            "/realtime/v1/admin/tenants/a/disconnect",
            "/admin/tenants/disconnect",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn a_lenient_path_is_found_below_the_gateways_prefix_and_between_slashes() {
        let pattern = PathPattern::new("/rooms/{id}", Matching::Lenient);
        let found = |path| parameters(&pattern, path);
        for path in ["/rooms/a", "/rooms/a/", "//rooms//a", "/realtime/v1/rooms/a", "//realtime/v1//rooms/a"]
        {
            assert_eq!(found(path), Some(vec!["id=a".into()]), "{path}");
        }
        for path in ["/rooms//", "/rooms/a/b", "/v1/rooms/a", "/realtime/v1/realtime/v1/rooms/a", "*", ""] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn a_prefixed_path_is_found_below_the_gateways_prefix_and_with_a_slash_at_its_end() {
        let pattern = PathPattern::new("/api/tenants/{id}", Matching::Prefixed);
        let found = |path| parameters(&pattern, path);
        for path in ["/api/tenants/a", "/api/tenants/a/", "/realtime/v1/api/tenants/a"] {
            assert_eq!(found(path), Some(vec!["id=a".into()]), "{path}");
        }
        for path in ["//api/tenants/a", "/api//tenants/a", "/realtime/v1//api/tenants/a", "/api/tenants/a//"]
        {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn a_parameter_may_be_the_rest_of_the_path() {
        let pattern = PathPattern::new("/yjs/{room}/{doc}", Matching::Lenient);
        let pattern = pattern.last_parameter(LastParameter::Rest);
        let found = |path| parameters(&pattern, path);
        for (path, doc) in [
            ("/yjs/r/d", "d"),
            ("/realtime/v1/yjs/r/d", "d"),
            ("/yjs/r/a/b", "a/b"),
            ("//yjs//r//a//b/", "a//b/"),
            ("/yjs/r/%2F", "%2F"),
        ] {
            assert_eq!(found(path), Some(vec!["room=r".into(), format!("doc={doc}")]), "{path}");
        }
        for path in ["/yjs/r", "/yjs/r/", "/yjs", "/other/r/d"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn the_root_is_the_empty_path_and_the_gateways_prefix() {
        let root = PathPattern::new("/", Matching::Lenient);
        for path in ["/", "", "//", "/realtime/v1", "/realtime/v1/"] {
            assert_eq!(parameters(&root, path), Some(Vec::new()), "{path}");
        }
    }
}
