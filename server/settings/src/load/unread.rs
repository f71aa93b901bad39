//! Files that look like settings and are not read: another name, another folder, another format.
//!
//! The working directory may hold files of other programs, so only names similar to ours are reported there,
//! and none once a file is read. A folder named `realtime`, such as `/etc/realtime`, belongs to the server: every TOML
//! file in it is expected to be read.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::more_folder;
use crate::file_access::within_deadline;
use crate::note::Note;

/// Extensions of formats that are not read.
const FORMATS: [&str; 3] = ["yaml", "yml", "json"];

/// Common names of a server's settings file.
const NAMES: [&str; 4] = ["config.toml", "realtime.toml", "realtime-server.toml", "settings.toml"];

/// Maximum edit distance between one of them and a file name that is reported.
const EDITS_MAX: usize = 2;

/// Common folders for the file.
const FOLDERS: [&str; 2] = ["config", "conf"];

const OWN_FOLDER: &str = "realtime";

/// The starter files, which may lie beside the copy.
const STARTERS: [&str; 2] = ["production.toml", "development.toml"];

/// Maximum of entries of a folder that are examined.
const ENTRIES_MAX: usize = 1000;

/// A note for each file that is not read near the `places` of the settings file, of which `main` is read.
pub(super) fn notes(places: &[PathBuf], main: Option<&Path>) -> Vec<Note> {
    let near = |place: &PathBuf| {
        let (location, main) = (place.clone(), main.map(Path::to_owned));
        // A file system that does not respond is reported where its files are read.
        within_deadline(place, move || Ok(notes_near(&location, main.as_deref()))).unwrap_or_default()
    };
    places.iter().flat_map(near).collect()
}

fn notes_near(location: &Path, main: Option<&Path>) -> Vec<Note> {
    match main {
        Some(main) if main == location => beside(location).into_iter().map(Note::warning).collect(),
        Some(main) if location.is_file() => {
            let text = format!("{} is not read, because {} is", location.display(), main.display());
            vec![Note::info(text)]
        }
        Some(_) => folder_without_file(location).map(Note::warning).into_iter().collect(),
        None => {
            let texts = folder_without_file(location).into_iter().chain(instead_of(location));
            texts.map(Note::warning).collect()
        }
    }
}

/// Files beside the main file that are not read.
fn beside(main: &Path) -> Vec<String> {
    let folder = more_folder(main);
    let formats = other_formats(main).into_iter().map(|file| not_toml(&file, main));
    let strays = entries(&folder).into_iter().filter(|file| is_stray(file));
    let strays =
        strays.map(|file| format!("{} is not read: only *.toml in {} is", file.display(), folder.display()));
    let siblings = if is_own_folder(main) { siblings(main) } else { Vec::new() };
    let files = siblings.into_iter().filter(|file| is_more(file));
    let files = files.map(|file| format!("{} is not read: move it to {}", file.display(), folder.display()));
    formats.chain(strays).chain(files).collect()
}

/// Files that were probably intended as the missing file at `location`. Of the starter files, that for development is
/// never reported.
fn instead_of(location: &Path) -> Vec<String> {
    let formats = other_formats(location).into_iter().map(|file| not_toml(&file, location));
    let is_own = is_own_folder(location);
    let is_candidate = |file: &Path| {
        is_toml(file) && is_own && name(file) != STARTERS[1]
            || resembles(file)
            || is_toml(file) && is_of_environment(file)
    };
    let deeper =
        FOLDERS.iter().flat_map(|folder| NAMES[..2].iter().map(move |name| Path::new(folder).join(name)));
    let deeper = deeper.map(|file| location.with_file_name(file)).filter(|file| file.is_file());
    let files =
        siblings(location).into_iter().filter(|file| is_candidate(file) && file.is_file()).chain(deeper);
    let files = files.map(|file| {
        format!("{} is not read: call it {}, or name it with --config", file.display(), location.display())
    });
    formats.chain(files).collect()
}

/// Whether a file in our own folder belongs into `config.d`.
fn is_more(file: &Path) -> bool {
    is_toml(file) && !is_of_environment(file) && !STARTERS.contains(&name(file)) && file.is_file()
}

/// A `config.d` without the file that it adds to.
fn folder_without_file(location: &Path) -> Option<String> {
    let folder = more_folder(location);
    let has_files = entries(&folder).iter().any(|file| is_toml(file));
    has_files.then(|| format!("{} is not read, because there is no {}", folder.display(), location.display()))
}

fn not_toml(file: &Path, location: &Path) -> String {
    format!("{} is not read: write TOML, into {}", file.display(), location.display())
}

fn other_formats(location: &Path) -> Vec<PathBuf> {
    let files = FORMATS.iter().map(|format| location.with_extension(format));
    files.filter(|file| file.is_file()).collect()
}

/// The files in the folder of `location`, without `location` itself.
fn siblings(location: &Path) -> Vec<PathBuf> {
    let folder = location.parent().unwrap_or(Path::new(""));
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = entries(here).into_iter().filter_map(|file| Some(folder.join(file.file_name()?)));
    names.filter(|file| file != location).collect()
}

/// The entries of a folder, sorted by name; none if it cannot be read, which is reported elsewhere.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(ENTRIES_MAX);
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_toml(file: &Path) -> bool {
    name(file).ends_with(".toml") && !name(file).starts_with('.')
}

/// `config.staging.toml`, which REALTIME_ENV chooses.
fn is_of_environment(file: &Path) -> bool {
    name(file).starts_with("config.") && name(file) != "config.toml"
}

/// Whether an entry of `config.d` was intended to be read: another format or case, or a folder.
fn is_stray(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let is_format = FORMATS.contains(&ending) || ending != "toml" && ending.eq_ignore_ascii_case("toml");
    let is_folder = || file.is_dir() && entries(file).iter().any(|file| is_toml(file));
    !name(file).starts_with('.') && (is_format || is_folder())
}

fn is_own_folder(location: &Path) -> bool {
    location.parent().is_some_and(|folder| folder.file_name().is_some_and(|name| name == OWN_FOLDER))
}

/// Whether the name of a file is similar to one of the common ones.
fn resembles(file: &Path) -> bool {
    let distance = strsim::damerau_levenshtein;
    let name = name(file).to_ascii_lowercase();
    let is_toml = name.rsplit_once('.').is_some_and(|(_, ending)| distance(ending, "toml") <= 1);
    is_toml && NAMES.iter().any(|known| distance(&name, known) <= EDITS_MAX)
}
