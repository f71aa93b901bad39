//! The variables of the programs we stand in for: Supabase Realtime and the Realtime SDK's server.
//!
//! One table, a file per area. Each row says what a variable does here: it sets keys, or is accepted
//! without effect and says so, or waits for a part of the server that is to come. Whoever moves here keeps
//! the environment they have, and learns at the start what of it does nothing. Later rows win over earlier
//! ones when both set a key.

mod cluster;
mod database;
mod http;
mod operation;
mod reading;
mod sdk;
mod tenants;
#[cfg(test)]
mod tests;

pub(crate) use reading::Reading;

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
    Sets(&'static [Target]),
    /// Accepted without effect, and why.
    Accepted(&'static str),
    /// Accepted without effect, which somebody may mind, and why.
    Warned(&'static str),
    /// For a part of the server that is to come.
    Later(Part),
}

/// A key that a variable sets.
#[derive(Debug)]
pub(crate) struct Target {
    pub key: &'static str,
    pub reading: Reading,
    /// Only under `SEED_SELF_HOST=true`, which makes the default tenant.
    pub seeding: bool,
}

/// Parts of the server that are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Dashboard,
    Databases,
    Janitor,
    ManagementApi,
    MetricsPusher,
    OpenTelemetry,
    Webhooks,
}

impl Part {
    /// Its name and the verb that follows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "the dashboard is",
            Self::Databases => "databases are",
            Self::Janitor => "the janitor is",
            Self::ManagementApi => "the management API is",
            Self::MetricsPusher => "the metrics pusher is",
            Self::OpenTelemetry => "OpenTelemetry is",
            Self::Webhooks => "webhooks are",
        }
    }
}

/// The variable that makes the default tenant out of those of the management API.
pub(crate) const SEED: &str = "SEED_SELF_HOST";

/// All rows, in the order in which they count.
pub(crate) fn table() -> impl Iterator<Item = &'static Variable> {
    let areas = [http::ROWS, database::ROWS, tenants::ROWS, operation::ROWS, cluster::ROWS, sdk::ROWS];
    areas.into_iter().flatten()
}

/// The variables that set `key`, for its documentation.
pub(crate) fn that_set(key: &str) -> Vec<&'static str> {
    let sets = |variable: &&Variable| match variable.treatment {
        Treatment::Sets(targets) => targets.iter().any(|target| target.key == key),
        _ => false,
    };
    table().filter(sets).map(|variable| variable.names[0]).collect()
}

impl Variable {
    const fn new(names: &'static [&'static str], treatment: Treatment) -> Self {
        Self { names, treatment, secret: false, yields_to: None }
    }

    const fn sets(names: &'static [&'static str], targets: &'static [Target]) -> Self {
        Self::new(names, Treatment::Sets(targets))
    }

    const fn accepted(names: &'static [&'static str], why: &'static str) -> Self {
        Self::new(names, Treatment::Accepted(why))
    }

    const fn warned(names: &'static [&'static str], why: &'static str) -> Self {
        Self::new(names, Treatment::Warned(why))
    }

    const fn later(names: &'static [&'static str], part: Part) -> Self {
        Self::new(names, Treatment::Later(part))
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn yields_to(self, other: &'static str) -> Self {
        Self { yields_to: Some(other), ..self }
    }
}

/// A key that is set to the variable's value as it is.
const fn to(key: &'static str) -> Target {
    read(key, Reading::AsWritten)
}

/// A key that is set to what is read from the variable's value.
const fn read(key: &'static str, reading: Reading) -> Target {
    Target { key, reading, seeding: false }
}

/// A key of the default tenant that is to be made.
const fn seeds(key: &'static str, reading: Reading) -> Target {
    Target { key, reading, seeding: true }
}
