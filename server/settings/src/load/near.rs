//! «Did you mean»: the known name nearest to a misspelt one.

use crate::shape::{Key, Shape, dotted, root};

/// The candidate nearest to `word`, if any is so near that it may be a slip.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase());
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate));
    let (distance, candidate) = near.min()?;
    (distance <= 1.max(word.chars().count() / 3)).then_some(candidate)
}

/// What somebody may have meant by the unknown `path` below `section`: a name of that section, or one that is
/// right but stands elsewhere.
pub(crate) fn meant(section: &Key, path: &[String]) -> Option<Vec<String>> {
    let (name, above) = path.split_last()?;
    let Shape::Section(keys) = &section.shape else { return None };
    if let Some(near) = nearest(name, keys.keys().map(String::as_str)) {
        return Some([above, &[near.to_owned()]].concat());
    }
    let leaves = root().leaves().into_iter().map(|(path, _)| path);
    let mut elsewhere =
        leaves.filter(|path| path.last() == Some(name) && !path.iter().any(|name| name == "*"));
    elsewhere.next()
}

/// The names of a section, for whoever meant none of them.
pub(crate) fn names(section: &Key) -> String {
    match &section.shape {
        Shape::Section(keys) => keys.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

/// A path as the variable that sets it.
pub(crate) fn variable(path: &[String]) -> String {
    let names: Vec<_> = path.iter().map(|name| name.to_uppercase()).collect();
    format!("{}{}", super::variables::PREFIX, names.join("__"))
}

/// A path as it is written where the misspelt one stood.
pub(crate) fn written(path: &[String], in_a_variable: bool) -> String {
    if in_a_variable { variable(path) } else { dotted(path) }
}
