//! How operational codes are reported: a counter each time, and a line in the log at a limited rate.
//!
//! Most codes are caused by what a client does, as often as it likes. So a code gets one line per tenant in ten
//! seconds, which has the number of those suppressed since the line before; where no line follows, a summary has it. Those
//! of callers without a verified token are limited over all tenants too, because they choose the tenant: no client can fill
//! a disk or hide what other clients do, and the counters are complete. A line names the tenant, the request, and the `sub`
//! of the token; never a payload, never a token.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use http::Response;
use metrics::{Counter, Key, Label, Level, Metadata, Recorder};
use parking_lot::Mutex;
use settings::NO_TENANT;
use tracing::{Span, error, info, warn};

use super::codes::{Code, Scope, Severity};
use super::fan_out::Exporter;
use super::line_limits::{LINES_PER_CODE, LineKind, LineLimits, LineWindow, Suppressed};
use super::logs::shortened;
use super::request_context::{ERROR_CODE, RequestContext};

/// Characters of a `sub` that are logged; a token may contain one of many kilobytes.
pub const SUB_CHARS_MAX: usize = 128;

/// Bytes of a text that are logged, after escaping.
const TEXT_BYTES_MAX: usize = 512;

/// Counts and logs the operational codes of one tenant, or those that concern no tenant. Clones share their
/// limits.
#[derive(Clone)]
pub struct Reports(Arc<Inner>);

struct Inner {
    /// `None` for codes that concern no tenant.
    tenant: Option<Box<str>>,
    recorder: Exporter,
    limits: Arc<LineLimits>,
    /// One for each code reported so far, which are few.
    windows: Mutex<Vec<CodeWindow>>,
    /// Requests with a verified token.
    requests: Mutex<LineWindow>,
}

/// Refers to reports without keeping them.
pub(super) struct WeakReports(Weak<Inner>);

/// Limits the log lines of one code, and counts its reports.
struct CodeWindow {
    code: Code,
    lines: LineWindow,
    reports: Counter,
    errors: [Counter; 2],
    /// If the code stands for a limit.
    refused: Option<Counter>,
}

/// One occurrence of an operational code.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    code: Code,
    scope: Scope,
    context: Option<&'a RequestContext>,
    sub: Option<&'a str>,
    exp: Option<i64>,
}

impl Code {
    /// A report of this code in `scope`.
    pub fn at(self, scope: Scope) -> Report<'static> {
        Report { code: self, scope, context: None, sub: None, exp: None }
    }
}

impl<'a> Report<'a> {
    /// Adds the request that the client's connection began with. Without it the line has the current span's.
    #[must_use]
    pub fn from(self, context: &'a RequestContext) -> Self {
        Self { context: Some(context), ..self }
    }

    /// Adds the claims `sub` and `exp` of the client's token.
    #[must_use]
    pub fn by(self, sub: Option<&'a str>, exp: i64) -> Self {
        Self { sub, exp: Some(exp), ..self }
    }
}

impl Report<'_> {
    /// Whether its cause may be a caller whose token is not verified.
    fn is_unverified(&self) -> bool {
        matches!(self.scope, Scope::Handshake | Scope::Http) && self.exp.is_none()
    }
}

impl WeakReports {
    /// Sums up what the reports have not written. Returns whether they still exist.
    pub(super) fn write_summaries(&self, now: Instant) -> bool {
        let reports = self.0.upgrade();
        reports.inspect(|reports| reports.write_summaries(now)).is_some()
    }
}

impl Reports {
    /// Reports about `tenant`, counted by `recorder`.
    pub(super) fn new(tenant: Option<&str>, recorder: Exporter, limits: Arc<LineLimits>) -> Self {
        let requests = Mutex::new(LineWindow::new(Instant::now()));
        let tenant = tenant.map(Into::into);
        Self(Arc::new(Inner { tenant, recorder, limits, windows: Mutex::default(), requests }))
    }

    pub(super) fn downgrade(&self) -> WeakReports {
        WeakReports(Arc::downgrade(&self.0))
    }

    /// Marks `response` as one to a client with a verified token of this tenant, or to an operator. Its request's line is
    /// counted among those of the tenant.
    pub fn attribute<B>(&self, response: &mut Response<B>) {
        response.extensions_mut().insert(self.clone());
    }

    /// The tenant that these reports are about, if they are about one.
    pub fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// Whether the line of a request with a verified token may be written. Otherwise it is counted, and summed up later.
    pub fn admit_request(&self) -> bool {
        let now = Instant::now();
        let mut requests = self.0.requests.lock();
        let before = requests.take_suppressed(now);
        let may_be_written = requests.admit(now, self.0.limits.per_tenant());
        drop(requests);
        if let Some(suppressed) = before {
            self.0.sum_up_requests(suppressed);
        }
        if !may_be_written {
            self.0.limits.count_suppressed();
        }
        may_be_written
    }

    /// Counts `report`, and logs it with `text` unless its code has had a line within ten seconds. The log line of
    /// the current request gets the code too.
    pub fn record(&self, report: Report<'_>, text: impl fmt::Display) {
        if matches!(report.scope, Scope::Handshake | Scope::Http) {
            // The code's own line may be suppressed; the request has its line in any case.
            Span::current()
                .record(ERROR_CODE, report.code.name())
                .record("reason", &*shortened(&text.to_string(), TEXT_BYTES_MAX));
        }
        if let Some(suppressed) = self.0.count(report, Instant::now()) {
            self.0.write(report, &shortened(&text.to_string(), TEXT_BYTES_MAX), suppressed);
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reports").field(&self.0.tenant).finish()
    }
}

impl Inner {
    /// Counts a report. If it is to be logged, returns how many were suppressed since the last line.
    fn count(&self, report: Report<'_>, now: Instant) -> Option<u64> {
        let Report { code, scope, .. } = report;
        let mut windows = self.windows.lock();
        let known = windows.iter().position(|window| window.code == code);
        let index = known.unwrap_or_else(|| {
            windows.push(self.open_window(code, now));
            windows.len() - 1
        });
        let window = &mut windows[index];
        window.reports.increment(1);
        if let Some(refused) = &window.refused {
            refused.increment(1);
        }
        if matches!(scope, Scope::Join | Scope::Channel) && code.severity() != Severity::Warning {
            window.errors.iter().for_each(|counter| counter.increment(1));
        }
        let before = window.lines.take_suppressed(now).map_or(0, |suppressed| suppressed.lines);
        // Also the first line of a tenant's window is one of the node's, or as many could be caused as there are tenants.
        let is_refused_by_node = || {
            report.is_unverified()
                && !window.lines.is_full(now, LINES_PER_CODE)
                && !self.limits.admit(LineKind::Code(code))
        };
        if is_refused_by_node() {
            return None;
        }
        if !window.lines.admit(now, LINES_PER_CODE) {
            self.limits.count_suppressed();
            return None;
        }
        Some(before)
    }

    /// Sums up the lines that were not written, where a window is over.
    fn write_summaries(&self, now: Instant) {
        let mut windows = self.windows.lock();
        let due: Vec<_> = windows
            .iter_mut()
            .filter_map(|window| Some((window.code, window.lines.take_suppressed(now)?)))
            .collect();
        drop(windows);
        due.into_iter().for_each(|(code, suppressed)| self.sum_up(code, suppressed));
        let requests = self.requests.lock().take_suppressed(now);
        if let Some(suppressed) = requests {
            self.sum_up_requests(suppressed);
        }
    }

    fn sum_up(&self, code: Code, suppressed: Suppressed) {
        let (name, tenant, lines) = (code.name(), self.tenant.as_deref(), suppressed.lines);
        warn!(
            target: TARGET,
            error_code = name, log.party = tenant, project = tenant, external_id = tenant, suppressed = lines, "{name}: {suppressed}"
        );
    }

    fn sum_up_requests(&self, suppressed: Suppressed) {
        let (tenant, lines) = (self.tenant.as_deref(), suppressed.lines);
        info!(
            log.party = tenant,
            project = tenant,
            external_id = tenant,
            suppressed = lines,
            "Requests: {suppressed}"
        );
    }

    /// The first window of a code. Its counters are made once, because finding one by name costs more than
    /// refusing a message does.
    fn open_window(&self, code: Code, now: Instant) -> CodeWindow {
        let counter = |name: &'static str, labels: Vec<Label>| {
            let metadata = Metadata::new(module_path!(), Level::INFO, None);
            self.recorder.register_counter(&Key::from_parts(name, labels), &metadata)
        };
        let code_label = || Label::new("code", code.name());
        // Upstream prints a missing tenant as `nil`.
        let tenant = Label::new("tenant", self.tenant.as_deref().unwrap_or(NO_TENANT).to_owned());
        CodeWindow {
            code,
            lines: LineWindow::new(now),
            reports: counter("realtime_codes_total", vec![tenant.clone(), code_label()]),
            errors: [
                counter("realtime_channel_error", vec![tenant.clone(), code_label()]),
                counter("realtime_channel_global_error", vec![code_label()]),
            ],
            refused: code
                .limit()
                .map(|setting| counter(LIMITS_REFUSED, vec![tenant.clone(), Label::new("setting", setting)])),
        }
    }

    fn write(&self, report: Report<'_>, text: &dyn fmt::Display, suppressed: u64) {
        let Report { code, context, sub, exp, .. } = report;
        let span = context.map_or_else(Span::current, RequestContext::span);
        let tenant = self.tenant.as_deref();
        // Callers without a verified token choose the tenant.
        let party = tenant.filter(|_| !report.is_unverified());
        let sub: Option<String> = sub.map(|sub| sub.chars().take(SUB_CHARS_MAX).collect());
        let sub = sub.as_deref();
        let suppressed = Some(suppressed).filter(|suppressed| *suppressed > 0);
        let (name, setting) = (code.name(), code.limit());
        // Two macro calls, because the level of a line is part of its static metadata.
        match code.severity() {
            Severity::Error => error!(
                target: TARGET, parent: &span,
                error_code = name, log.party = party, project = tenant, external_id = tenant, sub, exp, setting, suppressed, "{name}: {text}"
            ),
            Severity::ClientError | Severity::Warning => warn!(
                target: TARGET, parent: &span,
                error_code = name, log.party = party, project = tenant, external_id = tenant, sub, exp, setting, suppressed, "{name}: {text}"
            ),
        }
    }
}

/// The counter of what was refused because of a limit, by the setting of the limit.
pub(super) const LIMITS_REFUSED: &str = "realtime_limits_refused_total";

/// The module name of all lines about codes, whose level can be set apart (`telemetry.log_modules`).
const TARGET: &str = "realtime_server::telemetry::codes";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use serde_json::{Value, json};
    use settings::{LogFormat, MetricsFormat};

    use super::super::logs::tests::logged;
    use super::super::metrics::Metrics;
    use super::super::prometheus::Prometheus;
    use super::*;

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let lines = logged(LogFormat::Json, |_| log()).lines();
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_line_has_the_code_the_tenant_the_request_and_the_tokens_holder() {
        let reports = Metrics::new(Vec::new()).reports(Some("acme"));
        let context = RequestContext::new("id-1", Ipv4Addr::LOCALHOST.into());
        let sub = "é".repeat(1_000);
        let lines = lines(|| {
            let report = Code::PrivateOnly.at(Scope::Join).from(&context).by(Some(&sub), 7);
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
            ("sub", json!("é".repeat(SUB_CHARS_MAX))),
            ("exp", json!(7)),
            ("suppressed", Value::Null),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
    }

    #[test]
    fn a_code_has_one_line_in_ten_seconds_with_the_number_of_those_suppressed() {
        let metrics = Metrics::new(Vec::new());
        let (acme, other) = (metrics.reports(Some("acme")), metrics.reports(Some("other")));
        let (opened, report) = (Instant::now(), Code::TopicNameRequired.at(Scope::Join));
        let after =
            |reports: &Reports, millis| reports.0.count(report, opened + Duration::from_millis(millis));
        assert_eq!(after(&acme, 0), Some(0));
        for millis in 1..1_000 {
            assert_eq!(after(&acme, millis), None);
        }
        assert_eq!(after(&other, 1), Some(0), "a tenant has a window of its own");
        assert_eq!(acme.clone().0.count(Code::PrivateOnly.at(Scope::Join), opened), Some(0), "so has a code");
        assert_eq!(after(&acme, 9_999), None);
        assert_eq!(after(&acme, 10_000), Some(1_000));
        assert_eq!(after(&acme, 20_000), Some(0));
    }

    #[test]
    fn every_report_is_counted_and_errors_of_channels_apart() {
        let prometheus = Prometheus::new(None, MetricsFormat::Prometheus);
        let metrics = Metrics::new(vec![prometheus.exporter()]);
        let (acme, global) = (metrics.reports(Some("acme")), metrics.reports(None));
        let _quiet = lines(|| {
            for _ in 0..3 {
                acme.record(Code::MalformedJWT.at(Scope::Join), "");
                acme.record(Code::MalformedJWT.at(Scope::Handshake), "");
                acme.record(Code::ChannelShutdown.at(Scope::Channel), "");
                global.record(Code::TenantNotFound.at(Scope::Handshake), "");
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
    fn a_report_about_no_tenant_has_no_project() {
        let lines = lines(|| {
            Metrics::new(Vec::new()).reports(None).record(Code::TenantNotFound.at(Scope::Handshake), "x")
        });
        assert!(lines[0].get("project").is_none() && lines[0].get("external_id").is_none(), "{lines:?}");
    }
}
