//! Warnings to operators about tokens with a valid signature and an implausible claim. A line has the name of the claim
//! and nothing else of the token.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::rules;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::reports::Reports;

/// Reports warnings, or discards them.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenWarnings(Option<Reports>);

impl TokenWarnings {
    /// Warnings that are reported to `reports`.
    pub(super) fn to(reports: &Reports) -> Self {
        Self(Some(reports.clone()))
    }

    /// Reports a time in milliseconds, at the limited rate of its code.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: SystemTime) {
        let Some(reports) = &self.0 else { return };
        if let Some(claim) = rules::in_milliseconds(claims, now) {
            let consequence = match claim {
                "exp" => "such a token does not expire for thousands of years",
                _ => "such a token is not valid for thousands of years",
            };
            reports.record(
                Code::JwtTimeInMilliseconds.at(Scope::Log),
                format_args!(
                    "`{claim}` of a token is in milliseconds, and is read as seconds: {consequence}"
                ),
            );
        }
    }
}
