//! Variables that are not read although their names resemble one that is.
//!
//! The environment of a process also holds variables of other programs, of Kubernetes and of the shell. A warning
//! about one of those would be wrong at every start, so a name has to be similar: one edit in eight letters, and
//! in short names two swapped letters at most. Only names are compared; values serve to recognize variables of
//! Kubernetes.

use std::sync::LazyLock;

use super::environment::{CONFIG, ENVIRONMENT, FILE_SUFFIX, PREFIX, Variables, file_variable, variable_of};
use super::near;
use crate::note::Note;
use crate::shape::{self, Shape, dotted};
use crate::variables::{self, Treatment, Variable};

/// One edit is allowed for this many letters, …
const LETTERS_PER_EDIT: usize = 8;

/// … and never more than this.
const EDITS_MAX: usize = 2;

/// A first word of at most this many letters names the program it belongs to: `APP_JWT_SECRET`.
const OWNER_LETTERS: usize = 3;

/// A warning for each variable that is not read and resembles one that is.
pub(super) fn notes(variables: &Variables) -> impl Iterator<Item = Note> {
    let unread = variables.iter().filter(|(name, value)| !is_read(name) && !is_service_link(value));
    unread.filter_map(|(name, value)| {
        let text = match without_file_support(name) {
            Some(known) => format!("{name} is not read: {known} holds no secret, so set {known} itself"),
            None => format!("{name} is not read: did you mean {}?", meant(name, value, variables)?),
        };
        Some(Note::warning(text))
    })
}

/// The name that was probably intended by `name`.
fn meant(name: &str, value: &str, variables: &Variables) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    // `port` and `host` are names like any others.
    if !name.contains('_') && *name != upper {
        return None;
    }
    if let Some(own) = nearest_own_variable_with(&upper, value) {
        return Some(own);
    }
    let Some(known) = without_our_prefix(&upper).or_else(|| near_known(&upper)) else {
        return key_without_section(&upper);
    };
    let stem = known.strip_suffix(FILE_SUFFIX).unwrap_or(&known);
    let key = near::key_named(&name.to_ascii_lowercase());
    match key.filter(|key| !variables::names_that_set(&dotted(key)).contains(&stem)) {
        // A variable that names one of our keys is reported, whatever else is set.
        Some(key) => Some(format!("{known}, or {}", variable_of(&key))),
        // If the correct name is set as well, this one belongs to another program.
        None => {
            let right = [stem.to_owned(), file_variable(stem)];
            let is_set = right.iter().any(|right| right != name && variables.contains_key(right));
            (!is_set).then_some(known)
        }
    }
}

/// Whether this variable is read; its errors are reported elsewhere.
fn is_read(name: &str) -> bool {
    let named = |row: &Variable| {
        row.names.iter().any(|known| match known.strip_suffix('*') {
            Some(family) => name.starts_with(family),
            None => name == *known || row.secret && name.strip_suffix(FILE_SUFFIX) == Some(known),
        })
    };
    name.starts_with(PREFIX) || [CONFIG, ENVIRONMENT].contains(&name) || variables::table().any(named)
}

/// Whether Kubernetes or Docker set this for a service: one named `realtime-server` makes every pod have
/// `REALTIME_SERVER_PORT=tcp://10.0.0.1:8080`.
fn is_service_link(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

/// The variables of other programs that have an effect here, or are planned to.
fn known() -> impl Iterator<Item = (&'static str, bool)> {
    let does = |row: &&Variable| matches!(row.treatment, Treatment::Sets(_) | Treatment::Planned(_));
    let names =
        variables::table().filter(does).flat_map(|row| row.names.iter().map(|name| (*name, row.secret)));
    names.filter(|(name, _)| !name.ends_with('*'))
}

/// All names of these variables, and of those that select the files.
fn known_names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let names = known().flat_map(|(name, secret)| {
            std::iter::once(name.to_owned()).chain(secret.then(|| file_variable(name)))
        });
        names.chain([CONFIG, ENVIRONMENT].map(str::to_owned)).collect()
    });
    &NAMES
}

/// The known variable that has no `_FILE` form, if `name` is that form of it.
fn without_file_support(name: &str) -> Option<&'static str> {
    let stem = name.strip_suffix(FILE_SUFFIX)?;
    known().find(|(known, _)| *known == stem && known.contains('_')).map(|(known, _)| known)
}

/// A known variable with our prefix added: `REALTIME_JWT_SECRET`.
fn without_our_prefix(upper: &str) -> Option<String> {
    let rest = upper.strip_prefix("REALTIME_")?;
    known_names().iter().find(|known| *known == rest && known.contains('_')).cloned()
}

/// The known variable whose name is misspelt.
fn near_known(upper: &str) -> Option<String> {
    let longer = |known: &str| [CONFIG, ENVIRONMENT].contains(&known) && upper.starts_with(known);
    let near = known_names().iter().filter_map(|known| match longer(known) {
        // `REALTIME_ENVIRONMENT`, `REALTIME_CONFIG_FILE`
        true => Some((0, known)),
        false => Some((typo_distance(upper, known)?, known)),
    });
    near.min().map(|(_, known)| known.clone())
}

/// The edit distance of `name` and `known`, if it is small enough for a typing error.
fn typo_distance(name: &str, known: &str) -> Option<usize> {
    let distance = distance(name, known)?;
    let digits = |name: &str| name.bytes().filter(u8::is_ascii_digit).count();
    // A digit more makes it another variable, such as `DATABASE_URL2`.
    if digits(name) != digits(known) {
        return None;
    }
    let owner = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    let (its_owner, own) = (owner(name), owner(known));
    let allowed = match known.len() {
        _ if own.len() <= OWNER_LETTERS && !is_swapped(&its_owner, &own) => return None,
        ..LETTERS_PER_EDIT => usize::from(is_swapped(name, known)),
        letters => edits_allowed(letters),
    };
    (distance <= allowed).then_some(distance)
}

fn edits_allowed(letters: usize) -> usize {
    (letters / LETTERS_PER_EDIT).min(EDITS_MAX)
}

/// The edit distance of two names, unless their lengths or first letters differ too much.
fn distance(name: &str, known: &str) -> Option<usize> {
    let near = name.len().abs_diff(known.len()) <= EDITS_MAX && begins_alike(name, known);
    near.then(|| strsim::damerau_levenshtein(name, known))
}

/// Whether they share one of their first two letters: typing errors at the start are rare.
fn begins_alike(a: &str, b: &str) -> bool {
    a.bytes().take(2).any(|letter| b.bytes().take(2).any(|other| letter == other))
}

/// Whether two words have the same letters.
fn is_swapped(a: &str, b: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters: Vec<_> = word.bytes().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// `REALTIME_MAX_CHANNELS_PER_CLIENT`, which lacks its section.
fn key_without_section(upper: &str) -> Option<String> {
    let rest = upper.strip_prefix("REALTIME_").filter(|rest| rest.contains('_'))?;
    let ending = format!("__{rest}");
    // Cheaper than the search below, and enough for most names.
    own_variables().iter().find(|own| own.name.ends_with(&ending))?;
    near::key_named(&rest.to_ascii_lowercase()).map(|key| variable_of(&key))
}

/// A variable of ours, written with other underscores or a typing error, whatever its value.
pub(super) fn nearest_own_variable(name: &str) -> Option<String> {
    nearest_own_variable_with(&name.to_ascii_uppercase(), "")
}

/// The same; a whole section is suggested only if the value is JSON.
fn nearest_own_variable_with(upper: &str, value: &str) -> Option<String> {
    let name = squeezed(upper);
    let is_json = value.trim_start().starts_with('{');
    let candidates = own_variables().iter().filter(|own| is_json || !own.is_section);
    let near = candidates.filter_map(|own| {
        let distance = distance(&name, &own.squeezed)?;
        (distance <= own.edits_allowed).then_some((distance, &own.name))
    });
    near.min().map(|(_, name)| name.clone()).or_else(|| nearest_tenant_variable(upper))
}

/// A variable of ours, whose name does not depend on a tenant's.
struct OwnVariable {
    name: String,
    /// The name without underscores, of which people write too many or too few.
    squeezed: String,
    edits_allowed: usize,
    is_section: bool,
}

fn own_variables() -> &'static [OwnVariable] {
    static OWN_VARIABLES: LazyLock<Vec<OwnVariable>> = LazyLock::new(|| {
        let leaves =
            shape::root().leaves().into_iter().filter(|(path, _)| !path.iter().any(|name| name == "*"));
        let leaves = leaves.flat_map(|(path, key)| {
            let name = variable_of(&path);
            let file = key.secret.then(|| file_variable(&name));
            std::iter::once(name).chain(file)
        });
        let leaves = leaves.map(OwnVariable::of_key);
        let sections = match &shape::root().shape {
            Shape::Section(sections) => sections.keys().cloned().collect(),
            _ => Vec::new(),
        };
        let sections = sections.into_iter().map(|name| OwnVariable::of_section(variable_of(&[name])));
        leaves.chain(sections).collect()
    });
    &OWN_VARIABLES
}

impl OwnVariable {
    fn of_key(name: String) -> Self {
        let squeezed = squeezed(&name);
        let edits_allowed = edits_allowed(squeezed.len() - self::squeezed(PREFIX).len());
        Self { name, squeezed, edits_allowed, is_section: false }
    }

    fn of_section(name: String) -> Self {
        Self { is_section: true, ..Self::of_key(name) }
    }
}

fn squeezed(name: &str) -> String {
    name.replace('_', "")
}

/// A variable of a tenant, written with other underscores. Its id is the text before the key.
fn nearest_tenant_variable(upper: &str) -> Option<String> {
    let rest = upper.strip_prefix("REALTIME")?.trim_start_matches('_').strip_prefix("TENANTS_")?;
    let rest = rest.trim_start_matches('_').replace("__", "_");
    let leaves =
        shape::root().leaves().into_iter().filter(|(path, _)| path[0] == "tenants" && path.len() > 2);
    let near = leaves.filter_map(|(path, key)| {
        let inside = path[2..].iter().map(|name| name.to_uppercase()).collect::<Vec<_>>();
        let spelt = inside.join("_");
        let by_file = key.secret.then(|| rest.strip_suffix(FILE_SUFFIX)).flatten();
        let (stem, file) = by_file.map_or((rest.as_str(), ""), |stem| (stem, FILE_SUFFIX));
        let id = stem.strip_suffix(&spelt)?.strip_suffix('_').filter(|id| !id.is_empty())?;
        let variable = variable_of(&[path[0].clone(), id.to_owned()]);
        Some((spelt.len(), format!("{variable}__{}{file}", inside.join("__"))))
    });
    near.max().map(|(_, variable)| variable)
}
