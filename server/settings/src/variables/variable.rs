//! What a row of the table of variables consists of.

use super::conversion::Conversion;

/// One variable, or a family of them.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name as the code has it, then as documentation has it where that differs. A name that ends in `*`
    /// stands for all that begin so.
    pub names: &'static [&'static str],
    pub treatment: Treatment,
    /// Whether it holds a secret, so that `NAME_FILE` may name a file with it.
    pub secret: bool,
    /// A variable that makes this one superfluous.
    pub yields_to: Option<&'static str>,
}

/// What a variable does here.
#[derive(Debug)]
pub(crate) enum Treatment {
    Sets(&'static [TargetKey]),
    /// Accepted without effect, and why.
    Ignored(&'static str),
    /// Accepted without effect, which is a warning, and why.
    Unsupported(&'static str),
    /// For a planned part of the server.
    Planned(PlannedFeature),
}

/// A key that a variable sets.
#[derive(Debug)]
pub(crate) struct TargetKey {
    pub key: &'static str,
    pub conversion: Conversion,
    /// Only under `SEED_SELF_HOST=true`, which creates a tenant.
    pub seeding: bool,
}

/// Parts of the server that are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlannedFeature {
    Dashboard,
    Webhooks,
}

impl PlannedFeature {
    /// Its name and the verb that follows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "the dashboard is",
            Self::Webhooks => "webhooks are",
        }
    }
}

/// The variable that creates a tenant out of those of the management API and of the database.
pub(crate) const SEED: &str = "SEED_SELF_HOST";

impl Variable {
    pub(super) const fn new(names: &'static [&'static str], treatment: Treatment) -> Self {
        Self { names, treatment, secret: false, yields_to: None }
    }

    pub(super) const fn sets(names: &'static [&'static str], targets: &'static [TargetKey]) -> Self {
        Self::new(names, Treatment::Sets(targets))
    }

    pub(super) const fn ignored(names: &'static [&'static str], why: &'static str) -> Self {
        Self::new(names, Treatment::Ignored(why))
    }

    pub(super) const fn unsupported(names: &'static [&'static str], why: &'static str) -> Self {
        Self::new(names, Treatment::Unsupported(why))
    }

    pub(super) const fn planned(names: &'static [&'static str], part: PlannedFeature) -> Self {
        Self::new(names, Treatment::Planned(part))
    }

    /// Whether it sets a key of the tenant that is to be created.
    pub(crate) fn seeds(&self) -> bool {
        matches!(self.treatment, Treatment::Sets(targets) if targets.iter().any(|target| target.seeding))
    }

    pub(super) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    pub(super) const fn yields_to(self, other: &'static str) -> Self {
        Self { yields_to: Some(other), ..self }
    }
}

/// A key that is set to the variable's value as it is.
pub(super) const fn verbatim(key: &'static str) -> TargetKey {
    converted(key, Conversion::Verbatim)
}

/// A key that is set to what is read from the variable's value.
pub(super) const fn converted(key: &'static str, conversion: Conversion) -> TargetKey {
    TargetKey { key, conversion, seeding: false }
}

/// A key of the tenant that is to be created, set to the variable's value as it is.
pub(super) const fn seeds(key: &'static str) -> TargetKey {
    TargetKey { key, conversion: Conversion::Verbatim, seeding: true }
}
