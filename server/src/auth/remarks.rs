//! What is odd about tokens that are genuine, for the log of whoever runs the server. Nothing of a token is in a line but
//! the name of a claim.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::rules;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::reports::Reports;

/// Where to remark, if anywhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Remarks(Option<Reports>);

impl Remarks {
    pub(super) fn to(reports: &Reports) -> Self {
        Self(Some(reports.clone()))
    }

    /// Remarks on the claims of a genuine token, at most one line in a while.
    pub(super) fn look_at(&self, claims: &Map<String, Value>, now: SystemTime) {
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
