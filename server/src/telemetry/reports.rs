//! How operational codes are told: a counter each time, and a line in the log once in a while.
//!
//! Most codes are caused by what a client does, as often as it likes. So a code gets one line for a tenant in
//! ten seconds, which says how many were not written since the last one: no client can fill a disk, nor hide
//! what others do, and the numbers are whole. A line names the tenant, the request it began with, and of a token
//! who its holder is; never a payload, never a token.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Key, Label, Level, Metadata, Recorder};
use parking_lot::Mutex;
use tracing::{Span, error, warn};

use super::codes::{Code, Scope, Severity};
use super::fan_out::Exporter;
use super::request_context::{ERROR_CODE, RequestContext};

/// At most one line of a code and tenant in this time.
const SPELL: Duration = Duration::from_secs(10);

/// Characters of a `sub` that are written; a token may hold one of many kilobytes.
pub const SUB_SHOWN: usize = 128;

/// Tells what happens to one tenant, or to nobody in particular. Clones tell together.
#[derive(Clone)]
pub struct Reports(Arc<Desk>);

struct Desk {
    /// `None`: nobody in particular.
    tenant: Option<Box<str>>,
    recorder: Exporter,
    /// A handful: those codes that have been told.
    spells: Mutex<Vec<Spell>>,
}

/// The last ten seconds of one code.
struct Spell {
    code: Code,
    begun: Instant,
    suppressed: u64,
    told: Counter,
    errors: [Counter; 2],
}

/// Something that has happened.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    code: Code,
    place: Scope,
    origin: Option<&'a RequestContext>,
    sub: Option<&'a str>,
    exp: Option<i64>,
}

impl Code {
    /// That this has happened at `place`.
    pub fn at(self, place: Scope) -> Report<'static> {
        Report { code: self, place, origin: None, sub: None, exp: None }
    }
}

impl<'a> Report<'a> {
    /// To a client that came from here; else the current span says where from.
    #[must_use]
    pub fn from(self, origin: &'a RequestContext) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// Who acted with a token that says this.
    #[must_use]
    pub fn by(self, sub: Option<&'a str>, exp: i64) -> Self {
        Self { sub, exp: Some(exp), ..self }
    }
}

impl Reports {
    /// Reports about `tenant`, counted by `recorder`.
    pub(super) fn new(tenant: Option<&str>, recorder: Exporter) -> Self {
        Self(Arc::new(Desk { tenant: tenant.map(Into::into), recorder, spells: Mutex::default() }))
    }

    /// Tells `report`, in the words of `text`. A request's line in the log carries the code, too.
    pub fn record(&self, report: Report<'_>, text: impl fmt::Display) {
        if matches!(report.place, Scope::Handshake | Scope::Http) {
            // The line of the code itself may be left out, as one of many; the request has one in any case.
            Span::current().record(ERROR_CODE, report.code.name()).record("reason", text.to_string());
        }
        if let Some(suppressed) = self.0.count(report, Instant::now()) {
            self.0.write(report, &text, suppressed);
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reports").field(&self.0.tenant).finish()
    }
}

impl Desk {
    /// Counts a report. If it is worth a line, returns how many since the last line were not.
    fn count(&self, report: Report<'_>, now: Instant) -> Option<u64> {
        let Report { code, place, .. } = report;
        let mut spells = self.spells.lock();
        let known = spells.iter().position(|spell| spell.code == code);
        let new = known.is_none();
        let place_in_list = known.unwrap_or_else(|| {
            spells.push(self.spell(code, now));
            spells.len() - 1
        });
        let spell = &mut spells[place_in_list];
        spell.told.increment(1);
        if matches!(place, Scope::Join | Scope::Channel) && code.severity() != Severity::Warning {
            spell.errors.iter().for_each(|counter| counter.increment(1));
        }
        if !new && now.saturating_duration_since(spell.begun) < SPELL {
            spell.suppressed += 1;
            return None;
        }
        spell.begun = now;
        Some(std::mem::take(&mut spell.suppressed))
    }

    /// A spell that begins now. Its counters are made once, because finding one by name costs more than
    /// refusing a message does.
    fn spell(&self, code: Code, now: Instant) -> Spell {
        let counter = |name: &'static str, labels: Vec<Label>| {
            let place = Metadata::new(module_path!(), Level::INFO, None);
            self.recorder.register_counter(&Key::from_parts(name, labels), &place)
        };
        let code_label = || Label::new("code", code.name());
        // As upstream prints what is not there.
        let tenant = Label::new("tenant", self.tenant.as_deref().unwrap_or("nil").to_owned());
        Spell {
            code,
            begun: now,
            suppressed: 0,
            told: counter("realtime_codes_total", vec![tenant.clone(), code_label()]),
            errors: [
                counter("realtime_channel_error", vec![tenant, code_label()]),
                counter("realtime_channel_global_error", vec![code_label()]),
            ],
        }
    }

    fn write(&self, report: Report<'_>, text: &dyn fmt::Display, suppressed: u64) {
        let Report { code, origin, sub, exp, .. } = report;
        let span = origin.map_or_else(Span::current, RequestContext::span);
        let tenant = self.tenant.as_deref();
        let sub: Option<String> = sub.map(|sub| sub.chars().take(SUB_SHOWN).collect());
        let sub = sub.as_deref();
        let suppressed = Some(suppressed).filter(|suppressed| *suppressed > 0);
        let name = code.name();
        // A macro for each level, because a level is part of where a line comes from.
        match code.severity() {
            Severity::Error => error!(
                target: TARGET, parent: &span,
                error_code = name, project = tenant, external_id = tenant, sub, exp, suppressed, "{name}: {text}"
            ),
            Severity::Refusal | Severity::Warning => warn!(
                target: TARGET, parent: &span,
                error_code = name, project = tenant, external_id = tenant, sub, exp, suppressed, "{name}: {text}"
            ),
        }
    }
}

/// The module under which all codes are told, to set their level apart (`telemetry.log_modules`).
const TARGET: &str = "realtime_server::telemetry::codes";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::{Value, json};
    use settings::LogFormat;

    use super::super::logs::tests::said;
    use super::super::metrics::Metrics;
    use super::super::prometheus::Prometheus;
    use super::*;

    fn lines(say: impl FnOnce()) -> Vec<Value> {
        let lines = said(LogFormat::Json, |_| say()).lines();
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_line_says_the_code_the_tenant_and_where_it_came_from() {
        let reports = Metrics::new(Vec::new()).reports(Some("acme"));
        let origin = RequestContext::new("id-1", Ipv4Addr::LOCALHOST.into());
        let sub = "é".repeat(1_000);
        let lines = lines(|| {
            let report = Code::PrivateOnly.at(Scope::Join).from(&origin).by(Some(&sub), 7);
            reports.record(report, Code::PrivateOnly.text());
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(line["message"], "PrivateOnly: This project only allows private channels");
        for (field, value) in [
            ("level", json!("WARN")),
            ("error_code", json!("PrivateOnly")),
            ("project", json!("acme")),
            ("external_id", json!("acme")),
            ("request_id", json!("id-1")),
            ("client_address", json!("127.0.0.1")),
            ("sub", json!("é".repeat(SUB_SHOWN))),
            ("exp", json!(7)),
            ("suppressed", Value::Null),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
    }

    #[test]
    fn a_code_has_one_line_in_ten_seconds_and_says_how_many_it_stands_for() {
        let metrics = Metrics::new(Vec::new());
        let (acme, other) = (metrics.reports(Some("acme")), metrics.reports(Some("other")));
        let (begun, report) = (Instant::now(), Code::TopicNameRequired.at(Scope::Join));
        let after =
            |reports: &Reports, millis| reports.0.count(report, begun + Duration::from_millis(millis));
        assert_eq!(after(&acme, 0), Some(0));
        for millis in 1..1_000 {
            assert_eq!(after(&acme, millis), None);
        }
        assert_eq!(after(&other, 1), Some(0), "tenants do not hide each other");
        assert_eq!(acme.clone().0.count(Code::PrivateOnly.at(Scope::Join), begun), Some(0), "nor do codes");
        assert_eq!(after(&acme, 9_999), None);
        assert_eq!(after(&acme, 10_000), Some(1_000));
        assert_eq!(after(&acme, 20_000), Some(0));
    }

    #[test]
    fn every_report_is_counted_and_errors_of_channels_apart() {
        let prometheus = Prometheus::new(None);
        let metrics = Metrics::new(vec![prometheus.exporter()]);
        let (acme, nobody) = (metrics.reports(Some("acme")), metrics.reports(None));
        let _quiet = lines(|| {
            for _ in 0..3 {
                acme.record(Code::MalformedJWT.at(Scope::Join), "");
                acme.record(Code::MalformedJWT.at(Scope::Handshake), "");
                acme.record(Code::ChannelShutdown.at(Scope::Channel), "");
                nobody.record(Code::TenantNotFound.at(Scope::Handshake), "");
            }
        });
        let page = prometheus.render();
        for line in [
            r#"realtime_codes_total{tenant="acme",code="MalformedJWT"} 6"#,
            r#"realtime_codes_total{tenant="acme",code="ChannelShutdown"} 3"#,
            r#"realtime_codes_total{tenant="nil",code="TenantNotFound"} 3"#,
            r#"realtime_channel_error{tenant="acme",code="MalformedJWT"} 3"#,
            r#"realtime_channel_global_error{code="MalformedJWT"} 3"#,
            r#"realtime_channel_error{tenant="acme",code="ChannelShutdown"} 0"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }

    #[test]
    fn what_concerns_nobody_names_no_project() {
        let lines = lines(|| {
            Metrics::new(Vec::new()).reports(None).record(Code::TenantNotFound.at(Scope::Handshake), "x")
        });
        assert!(lines[0].get("project").is_none() && lines[0].get("external_id").is_none(), "{lines:?}");
    }
}
