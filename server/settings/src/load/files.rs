//! The files: which there are, in which order, and what is in them.
//!
//! A start without a file uses the defaults. A running server whose file has disappeared must not: an editor, a
//! script or a failed mount is the likely cause, and the defaults would disconnect every tenant. So a reload
//! compares with the files read before. Files of `config.d` may be removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::environment::{CONFIG, ENVIRONMENT};
use super::layer::{Layer, Problems};
use super::read_limits::ReadLimits;
use super::{near, positions, syntax};
use crate::file_access::{self, Persistence};
use crate::problem::{Location, Problem};

/// Looked for in this order when no file is named.
pub(crate) const USUAL: [&str; 2] = ["config.toml", "/etc/realtime/config.toml"];

/// Where to look for files.
pub(super) struct Search<'a> {
    /// The file that a flag or a variable names.
    pub named: Option<PathBuf>,
    /// Where to look, in this order, when none is named.
    pub usual: &'a [PathBuf],
    /// The environment, which may have a file of its own.
    pub environment: Option<&'a str>,
}

impl Search<'_> {
    /// Where the file may be.
    pub(super) fn candidates(&self) -> &[PathBuf] {
        self.named.as_ref().map_or(self.usual, std::slice::from_ref)
    }
}

/// The files that settings were read from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    main: Option<PathBuf>,
    environments: Option<PathBuf>,
    /// Those with something in them, be it a comment.
    filled: BTreeSet<PathBuf>,
}

impl Files {
    /// The main file, if there is one.
    pub(super) fn main(&self) -> Option<&Path> {
        self.main.as_deref()
    }
}

/// Adds a layer for each file. What there was `before` may not be missed now.
pub(crate) fn read(
    search: &Search<'_>,
    before: &Files,
    layers: &mut Vec<Layer>,
    problems: &mut Problems,
) -> Files {
    let main = match main_file(search, before) {
        Ok(Some(main)) => main,
        Ok(None) => {
            if let Some(problem) = without_main(search) {
                problems.push(layers.len(), problem);
            }
            return Files::default();
        }
        Err(problem) => {
            problems.push(layers.len(), problem);
            return Files::default();
        }
    };
    let mut now = Files { main: Some(main.clone()), ..Files::default() };
    let mut files = vec![main.clone()];
    match folder(&main) {
        Ok(more) => files.extend(more),
        Err(problem) => problems.push(layers.len(), problem),
    }
    match environments_file_there(search, &main, before) {
        Ok(file) => now.environments = file,
        Err(problem) => problems.push(layers.len(), problem),
    }
    files.extend(now.environments.clone());
    let mut limits = ReadLimits::default();
    for file in files {
        match layer(&file, before, &mut limits) {
            Ok(layer) => {
                if !layer.is_blank() {
                    now.filled.insert(file);
                }
                layers.push(layer);
            }
            Err(found) => found.into_iter().for_each(|problem| problems.push(layers.len(), problem)),
        }
    }
    now
}

/// Every file and folder that has a say, whether it is there or not.
pub(super) fn watched(search: &Search<'_>) -> Vec<PathBuf> {
    let beside = |main: &PathBuf| {
        let environments = environments_file(search, main).ok().flatten();
        let more = folder(main).unwrap_or_default();
        [main.clone(), more_folder(main)].into_iter().chain(more).chain(environments).collect::<Vec<_>>()
    };
    search.candidates().iter().flat_map(beside).collect()
}

fn main_file(search: &Search<'_>, before: &Files) -> Result<Option<PathBuf>, Problem> {
    if let Some(file) = &search.named {
        return Ok(Some(file.clone()));
    }
    for file in search.usual {
        if is_there(file, before.main.as_ref())? {
            return Ok(Some(file.clone()));
        }
    }
    Ok(None)
}

/// Whether `file` is there; it has to be if it `was`. A link that leads nowhere is there, and cannot be read.
fn is_there(file: &Path, was: Option<&PathBuf>) -> Result<bool, Problem> {
    match file_access::link_metadata(file) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreadable(file, &error)),
        Err(_) if was.is_some_and(|was| was == file) => {
            let gone = Problem::at(location(file), "existed before and is missing now");
            Err(gone.help("restore it, or restart the server to run without it"))
        }
        Err(_) => Ok(false),
    }
}

pub(super) fn more_folder(main: &Path) -> PathBuf {
    main.with_file_name("config.d")
}

/// The files of `config.d`, in the order of their names.
fn folder(main: &Path) -> Result<Vec<PathBuf>, Problem> {
    let folder = more_folder(main);
    let mut files = match file_access::entries(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, &error)),
    };
    files.retain(|file| {
        // What begins with a dot belongs to an editor, or to Kubernetes.
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && file.extension().is_some_and(|extension| extension == "toml")
    });
    files.sort();
    Ok(files)
}

fn environments_file(search: &Search<'_>, main: &Path) -> Result<Option<PathBuf>, Problem> {
    let Some(name) = search.environment else { return Ok(None) };
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(Problem::at(
            variable(ENVIRONMENT),
            "expected a word such as production: it chooses config.production.toml",
        ));
    }
    Ok(Some(main.with_file_name(format!("config.{name}.toml"))))
}

/// The file of the environment, if one is chosen; then it has to be there.
fn environments_file_there(
    search: &Search<'_>,
    main: &Path,
    before: &Files,
) -> Result<Option<PathBuf>, Problem> {
    let Some(file) = environments_file(search, main)? else { return Ok(None) };
    if is_there(&file, before.environments.as_ref())? {
        return Ok(Some(file));
    }
    let help = match near_environment(&file) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("create the file, even with only a comment in it, or unset {ENVIRONMENT}"),
    };
    let message = format!("chooses {}, and there is no such file", file.display());
    Err(Problem::at(variable(ENVIRONMENT), message).help(help))
}

/// An environment that has a file, and a name like the one that was chosen.
fn near_environment(file: &Path) -> Option<String> {
    let name = |file: &str| Some(file.strip_prefix("config.")?.strip_suffix(".toml")?.to_owned());
    let wanted = name(file.file_name()?.to_str()?)?;
    let names: Vec<_> = names_beside(file).iter().filter_map(|file| name(file)).collect();
    // `prod` is production.
    let begins = names.iter().find(|name| name.starts_with(&wanted) || wanted.starts_with(name.as_str()));
    let near = near::nearest(&wanted, names.iter().map(String::as_str));
    near.or(begins.map(String::as_str)).map(|name| format!("{ENVIRONMENT}={name}"))
}

/// What is wrong if an environment is chosen, and there is no file that its own could add to.
fn without_main(search: &Search<'_>) -> Option<Problem> {
    let usual = search.usual.first().map_or(Path::new(USUAL[0]), PathBuf::as_path);
    let file = match environments_file(search, usual) {
        Ok(file) => file?,
        Err(problem) => return Some(problem),
    };
    let message = format!(
        "chooses {}, which is read only beside {}, and that is not there",
        file.display(),
        usual.display()
    );
    let help = format!("create that file, name another with --config or {CONFIG}, or unset {ENVIRONMENT}");
    Some(Problem::at(variable(ENVIRONMENT), message).help(help))
}

fn variable(name: &str) -> Location {
    Location { source: format!("variable {name}"), position: None }
}

/// What is in `file`. If there was something `before`, there has to be something now: a program
/// that writes a file in place empties it first.
fn layer(file: &Path, before: &Files, limits: &mut ReadLimits) -> Result<Layer, Vec<Problem>> {
    let name = file.display().to_string();
    let bytes = file_access::read(file, limits.bytes).map_err(|error| vec![unreadable(file, &error)])?;
    limits.bytes.subtract(bytes.len());
    let text = positions::text(&name, bytes).map_err(|problem| vec![problem])?;
    limits.subtract_keys(&text).map_err(|refused| vec![Problem::at(location(file), refused)])?;
    let (values, positions) =
        positions::parse(&text).map_err(|errors| syntax::explain(&name, &text, errors))?;
    let layer = Layer::file(name, values, positions);
    if layer.is_blank() && before.filled.contains(file) {
        let emptied = Problem::at(location(file), "is empty now and was not before");
        return Err(vec![emptied.help("to configure nothing, leave a comment in it")]);
    }
    Ok(layer)
}

fn unreadable(file: &Path, error: &io::Error) -> Problem {
    let problem = Problem::at(location(file), format!("cannot be read: {error}"));
    let help = match error.kind() {
        io::ErrorKind::NotFound => near_file(file).map(|near| format!("did you mean {}?", near.display())),
        io::ErrorKind::IsADirectory => Some("name a file in it".into()),
        io::ErrorKind::PermissionDenied => Some("let the user of this process read it".into()),
        _ => None,
    };
    Problem { help, persistence: Persistence::of(error), ..problem }
}

/// The file beside `file` whose name is nearest.
fn near_file(file: &Path) -> Option<PathBuf> {
    let wanted = file.file_name()?.to_str()?;
    let names = names_beside(file);
    let others = names.iter().map(String::as_str).filter(|name| *name != wanted && name.ends_with(".toml"));
    near::nearest(wanted, others).map(|name| file.with_file_name(name))
}

/// The names in the folder of `file`.
fn names_beside(file: &Path) -> Vec<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn location(file: &Path) -> Location {
    Location { source: file.display().to_string(), position: None }
}
