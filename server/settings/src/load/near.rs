//! «Did you mean»: the known name nearest to a misspelt one.

use crate::shape::{Key, Shape, dotted, root};
use crate::variables;

/// The candidate nearest to `word`, if any is near enough to be a typing error.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase());
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate));
    let (distance, candidate) = near.min()?;
    (distance <= 1.max(word.chars().count() / 3)).then_some(candidate)
}

/// Keys that may have been intended by the unknown `path` below `section`, the most likely first: a name of that
/// section, an existing name of another section, or a misspelt name of another section.
pub(crate) fn meant(section: &Key, path: &[String]) -> Vec<Vec<String>> {
    let Some((name, above)) = path.split_last() else { return Vec::new() };
    let Shape::Section(keys) = &section.shape else { return Vec::new() };
    if let Some(near) = nearest(name, keys.keys().map(String::as_str)) {
        return vec![[above, &[near.to_owned()]].concat()];
    }
    let right = around(above, |last| last == name);
    if !right.is_empty() {
        return right;
    }
    let names: Vec<_> = root().leaves().into_iter().filter_map(|(path, _)| path.last().cloned()).collect();
    nearest(name, names.iter().map(String::as_str))
        .map(|near| around(above, |last| last == near))
        .unwrap_or_default()
}

/// The keys whose last name is wanted: those inside `above`, else those inside its parents, up to the root. So below a
/// tenant the tenant's own key is preferred over the global one.
fn around(above: &[String], wanted: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let inside = |above: &[String]| {
        let leaves =
            root().find(above).map(Key::leaves).unwrap_or_default().into_iter().map(|(path, _)| path);
        let wanted = leaves.filter(|path| path.last().is_some_and(|last| wanted(last)));
        let own = wanted.filter(|path| !path.iter().any(|name| name == "*"));
        own.map(|path| [above, &path].concat()).collect::<Vec<_>>()
    };
    let mut found =
        (0..=above.len()).rev().map(|depth| inside(&above[..depth])).find(|found| !found.is_empty());
    // `JWT_SECRET` sets `auth.jwt_secret`, so that is the most likely meaning of the bare name; `admin` is unlikely.
    let rank = |path: &Vec<String>| {
        let variable = path.last().map(|name| name.to_uppercase()).unwrap_or_default();
        (!variables::names_that_set(&dotted(path)).contains(&variable.as_str()), path[0] == "admin")
    };
    if let Some(found) = &mut found {
        found.sort_by_key(rank);
    }
    found.unwrap_or_default()
}

/// Keys that may have been intended by the unknown section `name` with these keys: `[redis] url` is `bus.redis_url`,
/// and `[tls] cert_file` is `server.tls.cert_file`.
pub(crate) fn meant_by_section<'a>(name: &str, keys: impl Iterator<Item = &'a String>) -> Vec<Vec<String>> {
    let meant = keys.flat_map(|key| {
        let joined = around(&[], |last| last == format!("{name}_{key}"));
        let below = around(&[], |last| last == key).into_iter();
        let below = below.filter(|path| path.len() > 1 && path[path.len() - 2] == name);
        joined.into_iter().chain(below).collect::<Vec<_>>()
    });
    meant.collect()
}

/// The key with this name, in any section.
pub(crate) fn key_named(name: &str) -> Option<Vec<String>> {
    around(&[], |last| last == name).into_iter().next()
}

/// The names of the keys of a section, for a help text.
pub(crate) fn names(section: &Key) -> String {
    match &section.shape {
        Shape::Section(keys) => keys.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}
