//! The sources of settings, their precedence, and the reports of problems.

mod changes;
mod defaults;
mod effective;
mod files;
mod generated;
mod help;
mod layers;
mod misspelt;
mod padding;
mod problems;
mod refused_reload;
mod remarks;
mod secrets;
mod tenants;
mod unread;

use std::path::{Path, PathBuf};

use settings::{LoadError, Loaded, Settings, Sources};

/// A temporary folder with the files of one test.
struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with these files and their texts; directories are created as needed.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder for the test"));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("the folder is writable");
        std::fs::write(path, text).expect("the folder is writable");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `config.toml` of this folder, and these variables; `{}` in a value is replaced by the path of this folder.
    fn sources(&self, variables: &[(&str, &str)]) -> Sources {
        Sources::new(Some(&self.path("config.toml")), self.variables(variables))
    }

    fn variables(&self, variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let here = self.0.path().display().to_string();
        let variables = variables.iter();
        variables.map(|(name, value)| ((*name).to_owned(), value.replace("{}", &here))).collect()
    }

    /// A text without the path of this folder.
    fn without_folder(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    /// The text of the error.
    fn errors(&self, variables: &[(&str, &str)]) -> String {
        let error = self.sources(variables).load().expect_err("should not load");
        self.without_folder(&error.to_string())
    }
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    Folder::with(&[("config.toml", file)]).sources(variables).load()
}

fn good(file: &str, variables: &[(&str, &str)]) -> Settings {
    load(file, variables).unwrap_or_else(|error| panic!("should load: {error}")).settings
}

/// The text of the error of this file, `config.toml`, and these variables.
fn errors(file: &str, variables: &[(&str, &str)]) -> String {
    Folder::with(&[("config.toml", file)]).errors(variables)
}

/// Only these variables.
fn only(variables: &[(&str, &str)]) -> Sources {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources::new(None, variables.collect::<Vec<_>>()).usually_in([])
}

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
