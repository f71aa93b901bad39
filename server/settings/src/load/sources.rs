//! Everything settings are read from: files, variables, flags.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::environment::{CONFIG, ENVIRONMENT, Variables};
use super::files::{Files, Search, USUAL};
use super::layer::{Layer, Origin, Problems};
use super::loaded::Loaded;
use super::merge::{self, Merged};
use super::{files, padding, positions, tenants, unread, variables, verify};
use crate::note::Note;
use crate::problem::{LoadError, Problem};
use crate::values::Values;
use crate::{Settings, secrets, shape};

/// Everything settings are read from. Read it as often as you like: each [`Sources::load`] looks again.
#[derive(Clone)]
pub struct Sources {
    file: Option<PathBuf>,
    usual_files: Vec<PathBuf>,
    variables: Variables,
    flags: Vec<Assignment>,
    fallbacks: Vec<Assignment>,
}

/// A value given to a key by neither file nor variable.
#[derive(Clone)]
struct Assignment {
    /// Who gave it: the flag as it is typed.
    source: String,
    key: String,
    text: String,
}

/// Without the values, which may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What is in all layers.
#[derive(Clone)]
pub(crate) struct ReadLayers {
    pub files: Files,
    pub layers: Vec<Layer>,
    /// Whether nothing is wrong with the files of the configuration as files.
    pub has_all_files: bool,
    secret_files: Vec<PathBuf>,
    notes: Vec<Note>,
    problems: Problems,
}

/// The layers upon each other, and what is wrong with single keys.
struct MergedLayers {
    read: ReadLayers,
    merged: Merged,
}

impl Sources {
    /// `file` must be there if it is given; else the variable `REALTIME_CONFIG` names one, else
    /// `./config.toml` or `/etc/realtime/config.toml` is read if it is there. `variables` are
    /// [`crate::environment()`], or what a test says instead.
    pub fn new(file: Option<&Path>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            usual_files: USUAL.iter().map(PathBuf::from).collect(),
            variables: variables.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect(),
            flags: Vec::new(),
            fallbacks: Vec::new(),
        }
    }

    /// Replaces the default paths at which a file is looked for when none is named.
    #[must_use]
    pub fn usually_in(self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { usual_files: files.into_iter().collect(), ..self }
    }

    /// Above everything else: `flag`, as it is typed, says that `key` is `text`.
    #[must_use]
    pub fn with_flag(mut self, flag: &str, key: &str, text: &str) -> Self {
        self.flags.push(Assignment { source: flag.into(), key: key.into(), text: text.into() });
        self
    }

    /// Assigns `text` to `key` with the lowest precedence above the defaults; `source` names the origin in messages.
    #[must_use]
    pub fn with_fallback(mut self, source: &str, key: &str, text: &str) -> Self {
        self.fallbacks.push(Assignment { source: source.into(), key: key.into(), text: text.into() });
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// Every problem found; then nothing is loaded.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let (layers, values) = self.read(&Files::default()).merged();
        let default_tenant = tenants::default_tenant(&values);
        let (settings, values) = layers.settings(values, &default_tenant)?;
        Ok(layers.loaded(settings, values))
    }

    /// Everything in all layers. What there was `before` may not be missed now.
    pub(crate) fn read(&self, before: &Files) -> ReadLayers {
        let (mut problems, mut notes) = (Problems::default(), Vec::new());
        let mut layers: Vec<_> =
            self.fallbacks.iter().map(|assignment| assignment.layer(Origin::Fallback)).collect();
        let search = self.search();
        let files = files::read(&search, before, &mut layers, &mut problems);
        let has_all_files = problems.is_empty();
        notes.extend(unread::notes(search.candidates(), files.main()));
        variables::read(&self.variables, &mut layers, &mut problems, &mut notes);
        layers.extend(self.flags.iter().map(|assignment| assignment.layer(Origin::Flag)));
        let secret_files = variables::secret_files(&self.variables);
        ReadLayers { files, layers, has_all_files, secret_files, notes, problems }
    }

    fn search(&self) -> Search<'_> {
        Search {
            named: self.file.clone().or_else(|| self.variables.get(CONFIG).map(PathBuf::from)),
            usual: &self.usual_files,
            environment: self.variables.get(ENVIRONMENT).map(|name| name.trim()),
        }
    }

    /// Every file and folder that has a say, whether it is there or not: what to watch.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = files::watched(&self.search());
        files.extend(variables::secret_files(&self.variables));
        files
    }
}

impl ReadLayers {
    /// The same with these layers, from these files, each of which is in order by itself.
    pub(crate) fn with(&self, layers: Vec<Layer>, files: Files) -> Self {
        Self { layers, files, problems: Problems::default(), ..self.clone() }
    }

    /// What these layers come to for a server that runs with the default tenant `now`.
    ///
    /// Which tenant is the default one takes a restart, but decides whose keys and limits `[auth]` and
    /// `[limits]` are: they are put together for the tenant that it is, and must go together for the one that
    /// it will be.
    pub(crate) fn load_again(self, now: &str) -> Result<Loaded, LoadError> {
        let (layers, values) = self.merged();
        let after_restart = tenants::default_tenant(&values);
        if now != after_restart {
            layers.settings(values.clone(), &after_restart)?;
        }
        let until = format!("until a restart, the default tenant is {now}");
        let explain = |error: LoadError| if now == after_restart { error } else { error.help(&until) };
        let (settings, values) = layers.settings(values, now).map_err(explain)?;
        Ok(layers.loaded(settings, values))
    }

    /// With the values that are in order by themselves.
    fn merged(mut self) -> (MergedLayers, Map<String, Value>) {
        let merged = merge::merge(&self.layers);
        let values = verify::verify(&self.layers, &merged, &mut self.problems);
        (MergedLayers { read: self, merged }, values)
    }
}

impl MergedLayers {
    /// What the values come to for this default tenant.
    fn settings(
        &self,
        mut values: Map<String, Value>,
        default_tenant: &str,
    ) -> Result<(Settings, Values), LoadError> {
        let mut problems = self.read.problems.clone();
        let layers = &self.read.layers;
        tenants::complete(&mut values, default_tenant, layers, &self.merged, &mut problems);
        problems.none()?;
        let values = Values::over_defaults(values);
        let settings = values.settings().map_err(|problem| LoadError::of(vec![problem]))?;
        for conflict in settings.conflicts() {
            let said = |key: &String| self.merged.location_of(layers, default_tenant, &positions::path(key));
            let location = conflict.keys.iter().find_map(said);
            let (layer, location) = location.map_or((0, None), |(layer, location)| (layer, Some(location)));
            let key = conflict.keys.into_iter().next().unwrap_or_default();
            problems.push(layer, Problem { location, ..Problem::with(key, conflict.message) });
        }
        problems.none()?;
        Ok((settings, values))
    }

    fn loaded(self, settings: Settings, values: Values) -> Loaded {
        let Self { read: ReadLayers { files, secret_files, layers, mut notes, .. }, merged } = self;
        notes.extend(secrets::remarks(&settings));
        notes.extend(settings.store_remark());
        notes.extend(settings.metrics_push_remark());
        notes.extend(settings.traces_remark());
        notes.extend(settings.cloudwatch_remark());
        let mut loaded = Loaded { settings, notes, values, files, secret_files, merged, layers };
        let padded = padding::notes(&loaded);
        loaded.notes.extend(padded);
        loaded
    }
}

impl Assignment {
    fn layer(&self, origin: Origin) -> Layer {
        let path = positions::path(&self.key);
        let value =
            shape::root().find(&path).map_or_else(|| self.text.clone().into(), |key| key.read(&self.text));
        Layer::single(origin, self.source.clone(), &path, value)
    }
}
