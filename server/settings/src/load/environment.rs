//! The environment of the process, and the names by which this program knows its own variables.

use std::collections::BTreeMap;

/// Variables by name.
pub(super) type Variables = BTreeMap<String, String>;

/// Variables that set a key begin with this.
pub(super) const PREFIX: &str = "REALTIME__";

/// `NAME` with this suffix names a file that holds the secret of `NAME`.
pub(super) const FILE_SUFFIX: &str = "_FILE";

/// Names the configuration file, when no flag does.
pub(super) const CONFIG: &str = "REALTIME_CONFIG";

/// Names the environment, which may have a file of its own.
pub(super) const ENVIRONMENT: &str = "REALTIME_ENV";

/// The variables of this process. Those that are not UTF-8 cannot set a key and are left out.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The variable that names a file with the secret of `name`.
pub(super) fn file_variable(name: &str) -> String {
    format!("{name}{FILE_SUFFIX}")
}

/// The variable that sets the key at `path`.
pub(super) fn variable_of(path: &[String]) -> String {
    let names: Vec<_> = path.iter().map(|name| name.to_uppercase()).collect();
    format!("{PREFIX}{}", names.join("__"))
}
