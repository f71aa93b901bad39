//! Where settings come from: the layers, read, put upon each other, and checked.
//!
//! From the lowest to the highest: the defaults, the file, its `config.d/*.toml`, its `config.<env>.toml`,
//! the variables of the programs we stand in for, `REALTIME__SECTION__KEY`, flags. A higher layer replaces
//! keys, not sections. [`merge`] puts them upon each other, [`verify`] checks the result against the shape
//! of our structs, and only then serde reads it: serde stops at the first mistake and knows no lines.

mod advice;
mod files;
mod layer;
mod merge;
mod misspelt;
mod near;
mod padding;
mod positions;
mod show;
mod syntax;
mod tenants;
mod unread;
mod variables;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::changes::Running;
use crate::problem::{LoadError, Problem};
use crate::values::Values;
use crate::{Settings, secrets, shape};

pub(crate) use files::Files;
use layer::{Layer, Origin, Problems};
use merge::Written;
pub use show::Shown;
pub(crate) use show::literal;

/// Everything settings are read from. Read it as often as you like: each [`Sources::load`] looks again.
#[derive(Clone)]
pub struct Sources {
    file: Option<PathBuf>,
    usual_files: Vec<PathBuf>,
    variables: BTreeMap<String, String>,
    flags: Vec<Assignment>,
    fallbacks: Vec<Assignment>,
}

/// A value given to a key by neither file nor variable.
#[derive(Clone)]
struct Assignment {
    /// Who gave it: the flag as it is typed.
    by: String,
    key: String,
    text: String,
}

/// Without the values, which may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Settings, and what a person wants to know of how they came about.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What was accepted without effect, or is unwise, a sentence each: to be logged once.
    pub notes: Vec<Note>,
    /// The same as values, to compare others with.
    pub(crate) values: Values,
    /// The files they were read from.
    pub(crate) files: Files,
    secret_files: Vec<PathBuf>,
    written: Written,
    layers: Vec<Layer>,
}

impl Loaded {
    /// What is written in each layer, by the layer's name.
    pub(crate) fn layers(&self) -> Vec<(String, Map<String, Value>)> {
        self.layers.iter().map(|layer| (layer.name.clone(), layer.values.clone())).collect()
    }
}

/// What is in all layers, and what is wrong with single keys.
struct Read {
    files: Files,
    secret_files: Vec<PathBuf>,
    layers: Vec<Layer>,
    notes: Vec<Note>,
    written: Written,
    problems: Problems,
}

/// A sentence about what is accepted and probably not what was meant: a variable without effect, a file that is not
/// read, a secret that should be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody may rely on what is missing, or has to mend it.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

/// The variables of this process. One that is not UTF-8 cannot be ours, and is left out.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Sources {
    /// `file` must be there if it is given; else the variable `REALTIME_CONFIG` names one, else
    /// `./config.toml` or `/etc/realtime/config.toml` is read if it is there. `variables` are
    /// [`environment()`], or what a test says instead.
    pub fn new(file: Option<&Path>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            usual_files: files::USUAL.iter().map(PathBuf::from).collect(),
            variables: variables.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect(),
            flags: Vec::new(),
            fallbacks: Vec::new(),
        }
    }

    /// Looks for a file that nobody named here, instead of in the usual places.
    #[must_use]
    pub fn usually_in(self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { usual_files: files.into_iter().collect(), ..self }
    }

    /// Above everything else: `flag`, as it is typed, says that `key` is `text`.
    #[must_use]
    pub fn with_flag(mut self, flag: &str, key: &str, text: &str) -> Self {
        self.flags.push(Assignment { by: flag.into(), key: key.into(), text: text.into() });
        self
    }

    /// Below everything but the defaults: `by`, as it is typed, says that `key` is `text`.
    #[must_use]
    pub fn with_fallback(mut self, by: &str, key: &str, text: &str) -> Self {
        self.fallbacks.push(Assignment { by: by.into(), key: key.into(), text: text.into() });
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// Every problem found; then nothing is loaded.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let (read, values) = self.read(&Files::default());
        let default_tenant = tenants::default_tenant(&values);
        let (settings, values) = read.settings(values, &default_tenant)?;
        Ok(read.loaded(settings, values))
    }

    /// Reads all layers again, for a server that runs on `running`.
    ///
    /// Which tenant is the default one takes a restart, but decides whose keys and limits `[auth]` and
    /// `[limits]` are: they are put together for the tenant that it is, and must go together for the one that
    /// it will be.
    pub(crate) fn load_again(&self, running: &Running) -> Result<Loaded, LoadError> {
        let (read, written) = self.read(running.files());
        let (is, will_be) = (running.default_tenant(), tenants::default_tenant(&written));
        if is != will_be {
            read.settings(written.clone(), &will_be)?;
        }
        let until = format!("until a restart, the default tenant is {is}");
        let explain = |error: LoadError| if is == will_be { error } else { error.help(&until) };
        let (settings, values) = read.settings(written, is).map_err(explain)?;
        Ok(read.loaded(settings, values))
    }

    /// Everything in all layers, and with it the values that are in order by themselves.
    fn read(&self, before: &Files) -> (Read, Map<String, Value>) {
        let (mut problems, mut notes) = (Problems::default(), Vec::new());
        let mut layers: Vec<_> =
            self.fallbacks.iter().map(|assignment| assignment.layer(Origin::Fallback)).collect();
        let files = files::read(self, before, &mut layers, &mut problems, &mut notes);
        variables::read(&self.variables, &mut layers, &mut problems, &mut notes);
        layers.extend(self.flags.iter().map(|assignment| assignment.layer(Origin::Flag)));
        let written = merge::merge(&layers);
        let values = verify::verify(&layers, &written, &mut problems);
        let secret_files = variables::secret_files(&self.variables);
        (Read { files, secret_files, layers, notes, written, problems }, values)
    }

    /// Every file and folder that has a say, whether it is there or not: what to watch.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = files::looked_at(self);
        files.extend(variables::secret_files(&self.variables));
        files
    }
}

impl Read {
    /// What the values come to for this default tenant.
    fn settings(
        &self,
        mut values: Map<String, Value>,
        default_tenant: &str,
    ) -> Result<(Settings, Values), LoadError> {
        let mut problems = self.problems.clone();
        tenants::complete(&mut values, default_tenant, &self.layers, &self.written, &mut problems);
        problems.none()?;
        let values = Values::over_defaults(values);
        let settings = values.settings().map_err(|problem| LoadError { problems: vec![problem] })?;
        for complaint in settings.complaints() {
            let said = |key: &String| show::who_said(&self.written, &self.layers, default_tenant, &path(key));
            let place = complaint.keys.iter().find_map(said);
            let (layer, place) = place.map_or((0, None), |(layer, place)| (layer, Some(place)));
            let key = complaint.keys.into_iter().next().unwrap_or_default();
            problems.push(layer, Problem { place, ..Problem::with(key, complaint.message) });
        }
        problems.none()?;
        Ok((settings, values))
    }

    fn loaded(self, settings: Settings, values: Values) -> Loaded {
        let Self { files, secret_files, layers, mut notes, written, .. } = self;
        notes.extend(secrets::remarks(&settings));
        let mut loaded = Loaded { settings, notes, values, files, secret_files, written, layers };
        let padded = padding::notes(&loaded);
        loaded.notes.extend(padded);
        loaded
    }
}

impl Assignment {
    fn layer(&self, origin: Origin) -> Layer {
        let path = path(&self.key);
        let value =
            shape::root().find(&path).map_or_else(|| self.text.clone().into(), |key| key.read(&self.text));
        Layer::single(origin, self.by.clone(), &path, value)
    }
}

/// A dotted key as a path; names in quotes may hold dots.
fn path(key: &str) -> Vec<String> {
    positions::path_of(key).unwrap_or_else(|| key.split('.').map(str::to_owned).collect())
}

/// Nests `value` below `path`.
fn nest(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, name| Value::Object([(name.clone(), inner)].into_iter().collect()))
}
