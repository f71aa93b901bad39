//! The steps by which the tables of a store become what this version needs.
//!
//! Each step is applied once, in a transaction of its own together with the record of it, so that a migration which is
//! interrupted goes on where it was. On PostgreSQL the steps up to upstream's newest are upstream's, by number and effect,
//! so that a schema may be taken over at any of them and given back.

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number; steps are applied in this order.
    pub version: i64,
    /// What it does.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

/// How far a store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Steps that are applied.
    pub applied: Vec<i64>,
    /// Steps that are not, in order.
    pub pending: Vec<Migration>,
    /// Applied steps that this version does not know: the store was used by a newer one.
    pub unknown: Vec<i64>,
}

impl MigrationStatus {
    /// What is left of `steps` where these are `applied`.
    pub(super) fn of(steps: &[Migration], applied: Vec<i64>) -> Self {
        let pending = steps.iter().filter(|step| !applied.contains(&step.version)).copied().collect();
        let is_known = |version: &i64| steps.iter().any(|step| step.version == *version);
        let unknown = applied.iter().copied().filter(|version| !is_known(version)).collect();
        Self { applied, pending, unknown }
    }
}

/// The steps of these files of a folder, named `<version>_<name>`.
macro_rules! migrations {
    ($folder:literal: $($file:literal),* $(,)?) => {
        &[$($crate::store::migration::step(
            $file,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $file, ".sql")),
        )),*]
    };
}
pub(super) use migrations;

/// The step in a file of this name.
pub(super) const fn step(file: &'static str, sql: &'static str) -> Migration {
    let (bytes, mut at, mut version) = (file.as_bytes(), 0, 0);
    while bytes[at].is_ascii_digit() {
        version = version * 10 + (bytes[at] - b'0') as i64;
        at += 1;
    }
    let (_version, name) = file.split_at(at + 1);
    Migration { version, name, sql }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_is_left_and_what_is_unknown() {
        const STEPS: &[Migration] = &[step("1_create", "a"), step("20_change", "b")];
        let status = MigrationStatus::of(STEPS, vec![1, 30]);
        assert_eq!(status.pending, [Migration { version: 20, name: "change", sql: "b" }]);
        assert_eq!((status.applied, status.unknown), (vec![1, 30], vec![30]));
    }
}
