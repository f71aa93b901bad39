//! `[telemetry.push]`: metrics that are sent to an address, for servers that nothing can scrape.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::{Settings, marks, units};

/// Sends the metrics to an address, in two requests of which one has the series of tenants and the other one all others. A request
/// that fails is not sent again: the next one has newer values.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsPush {
    /// Whether metrics are sent to `url`.
    #[schemars(extend("x-reload" = "live"))]
    pub enabled: bool,

    /// Where they are sent, such as `https://metrics.example/api/v1/import/prometheus`: a server that accepts the text format of
    /// Prometheus by POST. A secret, because it may contain a password or a key. With `auth` a user in it is left out.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["http://", "https://"]))]
    pub url: Option<SecretString>,

    /// The user of basic authentication, whose password is `auth`.
    #[schemars(extend("x-reload" = "live"))]
    pub user: String,

    /// The password of `user`. With a space in it, it is the whole value of the header `Authorization` instead, such as
    /// `Bearer <token>`. Unset: requests have none.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub auth: Option<SecretString>,

    /// How often they are sent.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "100ms"))]
    pub interval: Duration,

    /// After a failure the interval is doubled, up to this; `interval` if that is longer. The first success ends it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "100ms"))]
    pub max_interval: Duration,

    /// How long a request may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms", "x-max" = "1m"))]
    pub timeout: Duration,

    /// Whether bodies are compressed by gzip.
    #[schemars(extend("x-reload" = "live"))]
    pub compress: bool,

    /// Labels that the receiver adds to every series, as parameters `extra_label=name=value` of the address.
    #[schemars(extend("x-reload" = "live"))]
    pub extra_labels: BTreeMap<String, String>,
}

impl Default for MetricsPush {
    fn default() -> Self {
        Self {
            enabled: false,
            url: None,
            user: "realtime".into(),
            auth: None,
            interval: Duration::from_secs(30),
            max_interval: Duration::from_secs(600),
            timeout: Duration::from_secs(15),
            compress: true,
            extra_labels: BTreeMap::new(),
        }
    }
}

impl MetricsPush {
    /// The address that metrics are sent to, if they are.
    pub fn target(&self) -> Option<&str> {
        self.url.as_ref().filter(|_| self.enabled).map(ExposeSecret::expose_secret)
    }

    /// Whether `auth` can be sent: a password always, and the value of a header without line breaks and other control characters.
    pub(crate) fn auth_can_be_sent(&self) -> bool {
        let auth = self.auth.as_ref().map_or("", ExposeSecret::expose_secret);
        !auth.contains(' ') || auth.chars().all(|c| c == '\t' || !c.is_ascii_control())
    }
}

/// Whether nothing has changed. Not in constant time: both sides are the operator's own.
impl PartialEq for MetricsPush {
    fn eq(&self, other: &Self) -> bool {
        fn exposed(secret: Option<&SecretString>) -> Option<&str> {
            secret.map(ExposeSecret::expose_secret)
        }
        // Field by field, so that a new one is not forgotten here.
        let Self { enabled, url, user, auth, interval, max_interval, timeout, compress, extra_labels } = self;
        exposed(url.as_ref()) == exposed(other.url.as_ref())
            && exposed(auth.as_ref()) == exposed(other.auth.as_ref())
            && (*enabled, *compress) == (other.enabled, other.compress)
            && (*interval, *max_interval) == (other.interval, other.max_interval)
            && *timeout == other.timeout
            && *user == other.user
            && *extra_labels == other.extra_labels
    }
}

impl Eq for MetricsPush {}

impl Settings {
    /// What is unwise about pushing metrics.
    pub(crate) fn metrics_push_remark(&self) -> Option<Note> {
        let push = &self.telemetry.push;
        (push.enabled && push.url.is_none())
            .then(|| Note::warning("`telemetry.push.enabled` has no effect without `telemetry.push.url`"))
    }
}
