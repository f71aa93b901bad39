//! The variables of the programs this server replaces: Supabase Realtime and the Realtime SDK's server.
//!
//! One table, a file per area. Each row says what a variable does here: it sets keys, or is accepted
//! without effect and says so, or belongs to a feature that is not available yet. An operator who migrates
//! keeps the environment, and sees at the start which variables have no effect. Later rows win over earlier
//! ones when both set a key.

mod cluster;
mod conversion;
mod database;
mod http;
mod operation;
mod sdk;
mod tenants;
#[cfg(test)]
mod tests;
mod traces;
mod variable;

pub(crate) use conversion::Conversion;
pub(crate) use variable::{SEED, TargetKey, Treatment, Variable};

/// All rows, in the order in which they count.
pub(crate) fn table() -> impl Iterator<Item = &'static Variable> {
    let areas =
        [http::ROWS, database::ROWS, tenants::ROWS, operation::ROWS, traces::ROWS, cluster::ROWS, sdk::ROWS];
    areas.into_iter().flatten()
}

/// The variables that set `key`, for its documentation.
pub(crate) fn names_that_set(key: &str) -> Vec<&'static str> {
    let sets = |variable: &&Variable| match variable.treatment {
        Treatment::Sets(targets) => targets.iter().any(|target| target.key == key),
        _ => false,
    };
    table().filter(sets).map(|variable| variable.names[0]).collect()
}
