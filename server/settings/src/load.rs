//! Where settings come from. The only file that knows figment.
//!
//! Four layers, the later ones winning: the defaults, `config.toml`, the plain variables everybody knows
//! (`JWT_SECRET`, `PORT`, …), and `REALTIME__SECTION__KEY`. Each variable is a layer of its own, so that an
//! error names it. A variable is text until it meets the type of its setting: `12345` stays a string as a
//! secret and becomes a number as a port. Nothing that is misspelt is passed over in silence.

use std::fmt;
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use crate::{Problem, Settings};

/// Read when no file is named, if it is there.
const USUAL_FILE: &str = "config.toml";

/// What a variable of ours begins with.
const PREFIX: &str = "REALTIME__";

/// Variables that go by their everyday names, and the settings they stand for.
const PLAIN: [(&str, &str); 5] = [
    ("JWT_SECRET", "auth.jwt_secret"),
    ("JWT_ISSUER", "auth.jwt_issuer"),
    ("JWT_AUDIENCE", "auth.jwt_audience"),
    ("PORT", "server.port"),
    ("HOST", "server.host"),
];

/// Why there are no settings: every problem found, each naming the file or variable it is in.
#[derive(Debug, thiserror::Error)]
pub struct LoadError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The settings from all layers, checked.
///
/// `file` must exist if it is given; otherwise `./config.toml` is read if it is there. `env` is
/// [`environment()`], or what a test says instead.
///
/// # Errors
/// Every problem found; then nothing is loaded.
pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Settings, LoadError> {
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    match file_layer(file) {
        Ok(layer) => layers.extend(layer),
        Err(problem) => problems.push(problem),
    }
    for layer in variable_layers(env) {
        match layer {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    let settings = merge(layers, &mut problems);
    if problems.is_empty() {
        problems = settings.check();
    }
    if problems.is_empty() { Ok(settings) } else { Err(LoadError { problems }) }
}

/// The variables of this process. One that is not UTF-8 cannot be ours, and is left out.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Some values, and the name of the place they were written in.
struct Layer {
    place: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn file_layer(file: Option<&Path>) -> Result<Option<Layer>, Problem> {
    let usual = Path::new(USUAL_FILE);
    let path = match file {
        Some(path) => path,
        None if usual.exists() => usual,
        None => return Ok(None),
    };
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Problem {
        place: Some(place.clone()),
        key: String::new(),
        message: error.to_string(),
    })?;
    match Toml::from_str(&text) {
        Ok(values) => Ok(Some(Layer { place, values })),
        // Not the error's own text, which quotes the line: there may be a secret in it.
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let why = match error.message() {
                "" => "a value is missing or not complete".into(),
                why => why.replace('\n', ", "),
            };
            let message = format!("not TOML: {why}");
            Err(Problem { place: Some(format!("{place} line {line}")), key: String::new(), message })
        }
    }
}

/// The plain variables first, ours after them; an empty one counts as unset.
fn variable_layers(env: impl Iterator<Item = (String, String)>) -> Vec<Result<Layer, Problem>> {
    let mut set: Vec<_> = env.filter(|(_, value)| !value.trim().is_empty()).collect();
    set.sort();
    let plain = set.iter().filter_map(|(name, value)| {
        let (_, key) = PLAIN.iter().find(|(known, _)| known == name)?;
        Some(Ok(variable(name, key, value)))
    });
    let ours = set.iter().filter_map(|(name, value)| {
        let path: Vec<_> = name.strip_prefix(PREFIX)?.split("__").map(str::to_lowercase).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            let message = "names no setting; write REALTIME__SECTION__KEY, such as REALTIME__SERVER__PORT";
            let place = Some(format!("variable {name}"));
            return Some(Err(Problem { place, key: String::new(), message: message.into() }));
        }
        Some(Ok(variable(name, &path.join("."), value)))
    });
    plain.chain(ours).collect()
}

fn variable(name: &str, key: &str, value: &str) -> Layer {
    let values = figment::util::nest(key, Value::from(value)).into_dict().expect("a key has a section");
    Layer { place: format!("variable {name}"), values }
}

/// One value above the other. serde stops at the first error, so the culprit is taken out and the rest
/// tried again, until a person can be told of everything at once.
fn merge(mut layers: Vec<Layer>, problems: &mut Vec<Problem>) -> Settings {
    loop {
        let figment = layers.iter().fold(Figment::new(), |below, layer| below.merge(layer));
        // «Lossy» is figment's word for reading a string as the number or boolean its target wants.
        let error = match figment.extract_lossy() {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        let mut found = false;
        for layer in &mut layers {
            found |= remove(&mut layer.values, &error.path);
        }
        problems.push(explain(error));
        if !found {
            return Settings::default();
        }
    }
}

/// Takes a value out of nested ones; whether it was there.
fn remove(values: &mut Dict, path: &[String]) -> bool {
    match path {
        [] => false,
        [key] => values.remove(key).is_some(),
        [section, rest @ ..] => match values.get_mut(section) {
            Some(Value::Dict(_, inner)) => remove(inner, rest),
            _ => false,
        },
    }
}

/// figment's error in our words.
fn explain(error: figment::Error) -> Problem {
    let message = match error.kind {
        Kind::Message(message) if message == "invalid IP address syntax" => {
            "must be an IP address such as 0.0.0.0 or ::1".into()
        }
        Kind::Message(message) => message,
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("must be {}{}", in_words(&expected), instead(&actual, &expected))
        }
        Kind::UnknownVariant(actual, expected) => {
            format!("must be one of {}, not {actual:?}", expected.join(", "))
        }
        Kind::UnknownField(_, known) => format!("is no setting; there are {}", known.join(", ")),
        other => other.to_string(),
    };
    Problem { place: error.metadata.map(|place| place.name.into_owned()), key: error.path.join("."), message }
}

/// What serde expected, for people.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "a whole number of at least 1",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        section if section.starts_with("struct ") => "a section with keys of its own",
        other => other,
    }
}

/// What was there instead, if showing it helps and cannot show a secret.
fn instead(actual: &Actual, expected: &str) -> String {
    match actual {
        _ if expected.starts_with("struct ") => String::new(),
        Actual::Str(text) => format!(", not {text:?}"),
        Actual::Bool(value) => format!(", not {value}"),
        Actual::Unsigned(value) => format!(", not {value}"),
        Actual::Signed(value) => format!(", not {value}"),
        Actual::Float(value) => format!(", not {value}"),
        other => format!(", not a {other}"),
    }
}
