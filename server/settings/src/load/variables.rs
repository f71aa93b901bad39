//! The environment: first the supported variables of other programs, then our own.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::environment::{FILE_SUFFIX, PREFIX, Variables, file_variable};
use super::layer::{Layer, Origin, Problems};
use super::{advice, misspelt, positions};
use crate::file_access::{self, Persistence, SizeLimit};
use crate::note::Note;
use crate::problem::{Location, Problem};
use crate::shape::{self, Key, Shape};
use crate::variables::{self, Conversion, SEED, TargetKey, Treatment, Variable};

/// A variable's value, and the variable that it comes from: `NAME` or `NAME_FILE`.
struct VariableText {
    name: String,
    text: String,
    source: TextSource,
}

/// Where the text of a variable comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextSource {
    Variable,
    File,
}

impl VariableText {
    /// What the text means for `key`.
    fn read(&self, key: &Key) -> Value {
        match self.source {
            TextSource::Variable => key.read(&self.text),
            TextSource::File => key.read_file(&self.text),
        }
    }
}

/// Whether a variable holds secrets, so that `NAME_FILE` can name a file with them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretKind {
    /// No secret; `NAME_FILE` is not supported.
    NotSecret,
    /// One secret, which must not be empty.
    One,
    /// Any number of secrets; there may be none between two rotations.
    Many,
}

impl SecretKind {
    fn of(key: &Key) -> Self {
        match key.shape {
            _ if !key.secret => Self::NotSecret,
            Shape::List(_) => Self::Many,
            _ => Self::One,
        }
    }
}

/// Adds a layer for each variable that sets a key, and a note for each that has no effect.
pub(crate) fn read(
    variables: &Variables,
    layers: &mut Vec<Layer>,
    problems: &mut Problems,
    notes: &mut Vec<Note>,
) {
    let seeding = variables.get(SEED).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    for variable in variables::table() {
        theirs(variable, seeding, variables, layers, problems, notes);
    }
    for name in variables.keys().filter(|name| name.starts_with(PREFIX)) {
        own(name, variables, layers, problems);
    }
    notes.extend(misspelt::notes(variables));
}

/// The files that hold the secrets of variables.
pub(crate) fn secret_files(variables: &Variables) -> Vec<PathBuf> {
    let theirs = variables::table().filter(|variable| variable.secret).flat_map(|variable| variable.names);
    let theirs = theirs.filter_map(|name| variables.get(&file_variable(name)));
    let own =
        variables.iter().filter(|(name, _)| path(name).is_some_and(|path| secret_beside(&path).is_some()));
    theirs.chain(own.map(|(_, file)| file)).map(PathBuf::from).collect()
}

/// A variable of another program.
fn theirs(
    variable: &Variable,
    seeding: bool,
    variables: &Variables,
    layers: &mut Vec<Layer>,
    problems: &mut Problems,
    notes: &mut Vec<Note>,
) {
    let names = present(variable, variables);
    let Some(name) = names.first() else { return };
    // Reported even if the variable has no effect now: it may have one later.
    if variable.secret
        && let Some(problem) = names.iter().find_map(|name| set_twice(name, variables))
    {
        return problems.push(layers.len(), problem);
    }
    let (has, is) = if names.len() == 1 { ("has", "is") } else { ("have", "are") };
    let superseded = superseded(variable, variables);
    if let Some(other) = superseded.filter(|_| !(seeding && variable.seeds())) {
        return notes.push(Note::info(format!("{name} is ignored, because {other} is set")));
    }
    match variable.treatment {
        Treatment::Sets(targets) => {
            for other in &names[1..] {
                notes.push(Note::warning(format!("{other} is ignored, because {name} is set")));
            }
            let secret_kind = SecretKind::of(target_key(&targets[0]));
            let Some(set) = value(name, secret_kind, variables, layers.len(), problems) else { return };
            let applies = |target: &&TargetKey| match target.seeding {
                true => seeding,
                false => superseded.is_none(),
            };
            let applicable: Vec<_> = targets.iter().filter(applies).collect();
            if applicable.is_empty() {
                notes.push(Note::warning(format!("{} applies only under {SEED}=true", set.name)));
            }
            for target in applicable {
                match layer(&set, target) {
                    Ok(Some(layer)) => layers.push(layer),
                    Ok(None) => {
                        let effect = target.conversion.without_effect();
                        notes.push(Note::info(format!("{} {effect}", set.name)));
                    }
                    Err(problem) => problems.push(layers.len(), problem),
                }
            }
        }
        Treatment::Ignored(why) => {
            notes.push(Note::info(format!("{} {has} no meaning here: {why}", names.join(", "))));
        }
        Treatment::Unsupported(why) => {
            notes.push(Note::warning(format!("{} {is} not supported: {why}", names.join(", "))));
        }
        Treatment::Planned(part) => {
            let text = format!("{} {has} no effect yet: {} not available yet", names.join(", "), part.name());
            notes.push(Note::info(text));
        }
    }
}

/// The variable that makes this one superfluous, if it is set itself or by a file.
fn superseded(variable: &Variable, variables: &Variables) -> Option<&'static str> {
    let other = variable.yields_to?;
    let set = |name: &str| variables.contains_key(name);
    (set(other) || set(&file_variable(other))).then_some(other)
}

/// The names of this row that are set, by precedence.
fn present(variable: &Variable, variables: &Variables) -> Vec<String> {
    let mut present = Vec::new();
    for name in variable.names {
        match name.strip_suffix('*') {
            Some(family) => {
                let named = variables.keys().filter(|name| name.starts_with(family));
                present.extend(named.filter(|name| !is_elsewhere(name, family)).cloned());
            }
            None if variables.contains_key(*name) => present.push((*name).to_owned()),
            None if variable.secret && variables.contains_key(&file_variable(name)) => {
                present.push((*name).to_owned());
            }
            None => {}
        }
    }
    present
}

/// Whether a variable of this family has a row of its own, or one of a smaller family: it is handled there.
fn is_elsewhere(name: &str, family: &str) -> bool {
    let names = |row: &Variable, other: &str| match other.strip_suffix('*') {
        Some(smaller) => smaller.len() > family.len() && name.starts_with(smaller),
        None => name == other || (row.secret && name == file_variable(other)),
    };
    variables::table().any(|row| row.names.iter().any(|other| names(row, other)))
}

fn target_key(target: &TargetKey) -> &'static Key {
    shape::root().find(&positions::path(target.key)).expect("the table names keys that exist")
}

/// One key's value from a variable of others; nothing when this value changes nothing.
fn layer(set: &VariableText, target: &TargetKey) -> Result<Option<Layer>, Problem> {
    let (path, key) = (positions::path(target.key), target_key(target));
    let value = match target.conversion.read(&set.text) {
        Ok(Some(_)) if target.conversion == Conversion::Verbatim => set.read(key),
        Ok(Some(Value::String(text))) => key.read(&text),
        Ok(Some(value)) => value,
        Ok(None) => return Ok(None),
        Err(expected) => {
            let message = format!("expected {expected}, found {:?}", set.text);
            let help = advice::for_variable(target.conversion, &set.text);
            return Err(Problem {
                location: Some(location(&set.name)),
                help,
                ..Problem::with(target.key, message)
            });
        }
    };
    Ok(Some(Layer::single(Origin::Variable, set.name.clone(), &path, value)))
}

/// A variable of ours.
fn own(name: &str, variables: &Variables, layers: &mut Vec<Layer>, problems: &mut Problems) {
    let Some(path) = path(name) else {
        let help = match misspelt::nearest_own_variable(name) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("write {PREFIX}SECTION__KEY, such as {PREFIX}SERVER__PORT"),
        };
        return problems.push(layers.len(), Problem::at(location(name), "names no key").help(help));
    };
    let (name, path) = match secret_beside(&path) {
        // Reported for the variable itself, if that is set too.
        Some(_) if variables.contains_key(without_file(name)) => return,
        Some(secret) => (without_file(name), secret),
        None => (name, path),
    };
    let key = shape::root().find(&path);
    let secret_kind = key.map_or(SecretKind::NotSecret, SecretKind::of);
    let Some(set) = value(name, secret_kind, variables, layers.len(), problems) else { return };
    let value = key.map_or_else(|| Value::from(set.text.as_str()), |key| set.read(key));
    layers.push(Layer::single(Origin::Variable, set.name, &path, value));
}

/// The key that a variable of ours names.
fn path(name: &str) -> Option<Vec<String>> {
    let path: Vec<_> = name.strip_prefix(PREFIX)?.split("__").map(str::to_lowercase).collect();
    (!path.iter().any(String::is_empty)).then_some(path)
}

/// The secret beside which a key of this name, which does not exist, may name a file.
fn secret_beside(path: &[String]) -> Option<Vec<String>> {
    let root = shape::root();
    let exists = root.find(path).is_some_and(|key| !matches!(key.shape, Shape::Table(_)));
    let (last, above) = path.split_last()?;
    let secret = [above, &[last.strip_suffix("_file")?.to_owned()]].concat();
    (!exists && root.find(&secret).is_some_and(|key| key.secret)).then_some(secret)
}

fn without_file(name: &str) -> &str {
    name.strip_suffix(FILE_SUFFIX).unwrap_or(name)
}

/// The value of a variable, or what is in the file that `NAME_FILE` names.
fn value(
    name: &str,
    secret_kind: SecretKind,
    variables: &Variables,
    number: usize,
    problems: &mut Problems,
) -> Option<VariableText> {
    let by_file = file_variable(name);
    let file = variables.get(&by_file).filter(|_| secret_kind != SecretKind::NotSecret);
    let problem = match (variables.get(name), file) {
        (Some(_), Some(_)) => set_twice(name, variables)?,
        (Some(text), None) => {
            return Some(VariableText {
                name: name.into(),
                text: text.clone(),
                source: TextSource::Variable,
            });
        }
        (None, Some(file)) => match file_access::read_text(Path::new(file), SizeLimit::SECRET) {
            Ok(text) if text.trim().is_empty() && secret_kind == SecretKind::One => {
                Problem::at(location(&by_file), format!("{file} is empty")).help("write the secret into it")
            }
            Ok(text) => {
                // Editors write the one at the start, and both `echo` and editors the other at the end.
                let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']).to_owned();
                return Some(VariableText { name: by_file, text, source: TextSource::File });
            }
            Err(error) => {
                // What is no absolute path may be the secret itself.
                let shown = if file.starts_with('/') { file } else { "the file" };
                let why = match error.kind() {
                    // The text of such an error has the path.
                    io::ErrorKind::TimedOut if shown != file => "its file system does not respond".into(),
                    _ => error.to_string(),
                };
                let problem = Problem::at(location(&by_file), format!("{shown} cannot be read: {why}"));
                let problem = problem.help(format!(
                    "{by_file} is the path of a file with the secret, and {name} is the secret"
                ));
                Problem { persistence: Persistence::of(&error), ..problem }
            }
        },
        (None, None) => return None,
    };
    problems.push(number, problem);
    None
}

/// What is wrong if both the secret `name` and a file with it are set.
fn set_twice(name: &str, variables: &Variables) -> Option<Problem> {
    let by_file = file_variable(name);
    let both = variables.contains_key(name) && variables.contains_key(&by_file);
    both.then(|| {
        Problem::at(location(name), format!("{by_file} is set as well")).help("set only one of the two")
    })
}

fn location(name: &str) -> Location {
    Location { source: format!("variable {name}"), position: None }
}
