//! The files: which there are, in which order, and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use super::layer::{Layer, Problems};
use super::{Note, Sources, positions};
use crate::problem::{Place, Problem};

/// Looked for in this order when no file is named.
pub(crate) const USUAL: [&str; 2] = ["config.toml", "/etc/realtime/config.toml"];

/// Names the file, when no flag does.
const CONFIG: &str = "REALTIME_CONFIG";

/// Names the environment, which may have a file of its own.
const ENVIRONMENT: &str = "REALTIME_ENV";

/// Adds a layer for each file.
pub(crate) fn read(
    sources: &Sources,
    layers: &mut Vec<Layer>,
    problems: &mut Problems,
    notes: &mut Vec<Note>,
) {
    let Some(main) = main_file(sources) else { return };
    let mut files = vec![main.clone()];
    match folder(&main) {
        Ok(more) => files.extend(more),
        Err(problem) => problems.push(layers.len(), problem),
    }
    match environments_file(sources, &main) {
        Ok(Some(file)) if file.exists() => files.push(file),
        Ok(Some(file)) => {
            let text = format!("{ENVIRONMENT} is set, and there is no {}", file.display());
            notes.push(Note { warning: true, text });
        }
        Ok(None) => {}
        Err(problem) => problems.push(layers.len(), problem),
    }
    for file in files {
        match layer(&file) {
            Ok(layer) => layers.push(layer),
            Err(found) => found.into_iter().for_each(|problem| problems.push(layers.len(), problem)),
        }
    }
}

/// Every file and folder that has a say, whether it is there or not.
pub(crate) fn looked_at(sources: &Sources) -> Vec<PathBuf> {
    let main = named(sources).map_or_else(|| sources.usual_files.clone(), |file| vec![file]);
    let beside = |main: &PathBuf| {
        let environments = environments_file(sources, main).ok().flatten();
        let more = folder(main).unwrap_or_default();
        [main.clone(), more_folder(main)].into_iter().chain(more).chain(environments).collect::<Vec<_>>()
    };
    main.iter().flat_map(beside).collect()
}

fn named(sources: &Sources) -> Option<PathBuf> {
    sources.file.clone().or_else(|| sources.variables.get(CONFIG).map(PathBuf::from))
}

fn main_file(sources: &Sources) -> Option<PathBuf> {
    named(sources).or_else(|| sources.usual_files.iter().find(|file| file.exists()).cloned())
}

fn more_folder(main: &Path) -> PathBuf {
    main.with_file_name("config.d")
}

/// The files of `config.d`, in the order of their names.
fn folder(main: &Path) -> Result<Vec<PathBuf>, Problem> {
    let folder = more_folder(main);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, &error)),
    };
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = paths.map_err(|error| unreadable(&folder, &error))?;
    files.retain(|file| {
        // What begins with a dot belongs to an editor, or to Kubernetes.
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && file.extension().is_some_and(|extension| extension == "toml")
    });
    files.sort();
    Ok(files)
}

fn environments_file(sources: &Sources, main: &Path) -> Result<Option<PathBuf>, Problem> {
    let Some(name) = sources.variables.get(ENVIRONMENT).map(|name| name.trim()) else { return Ok(None) };
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        let place = Place { source: format!("variable {ENVIRONMENT}"), position: None };
        return Err(Problem::at(
            place,
            "expected a word such as production: it chooses config.production.toml",
        ));
    }
    Ok(Some(main.with_file_name(format!("config.{name}.toml"))))
}

fn layer(file: &Path) -> Result<Layer, Vec<Problem>> {
    let name = file.display().to_string();
    let bytes = fs::read(file).map_err(|error| vec![unreadable(file, &error)])?;
    let text = positions::text(&name, bytes).map_err(|problem| vec![problem])?;
    let values = positions::parse(&name, &text)?;
    Ok(Layer::file(name, text, values))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    let place = Place { source: file.display().to_string(), position: None };
    Problem::at(place, format!("cannot be read: {error}"))
}
