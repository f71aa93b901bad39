//! One request with a page of metrics.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderValue, StatusCode};
use hub::{MemoryCharge, MemoryKind, TenantMemory};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::ExposeSecret;
use settings::MetricsPush;

use crate::outgoing::NoTrustStore;
use crate::telemetry::compression::{GZIP, gzip};

/// The label of the process, as a scrape has it.
const INSTANCE: &str = "instance";

/// Why a page was not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    #[error(transparent)]
    TrustStore(#[from] NoTrustStore),
    #[error("the address cannot be used")]
    Address,
    #[error("`telemetry.push.auth` cannot be the value of a header")]
    Auth(#[from] InvalidHeaderValue),
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
}

impl PushError {
    /// Whether there was no answer in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::Request(error) if error.is_timeout())
    }
}

/// A page as it is sent.
pub(super) struct PushedPage {
    encoding: Option<&'static str>,
    body: Vec<u8>,
    /// Counted among the bytes that wait to be sent. There are two pages at most, so they need no limit, as those that are scraped.
    charge: MemoryCharge,
}

impl PushedPage {
    /// This page, compressed if the settings ask for that, and charged to `memory`.
    pub(super) fn of(page: String, push: &MetricsPush, memory: &Arc<TenantMemory>) -> Self {
        let mut charge = memory.charge(MemoryKind::Sending, page.capacity());
        if !push.compress {
            return Self { encoding: None, body: page.into_bytes(), charge };
        }
        let body = gzip(page.as_bytes());
        drop(page);
        charge.resize(body.capacity());
        Self { encoding: Some(GZIP), body, charge }
    }
}

/// What all requests have in common.
pub(super) struct Template<'a> {
    pub(super) push: &'a MetricsPush,
    /// The label `instance`, unless the settings have one.
    pub(super) instance: &'a str,
    /// How long each may take.
    pub(super) timeout: Duration,
}

impl Template<'_> {
    /// Sends a page, once. It is charged until the request has ended.
    pub(super) async fn send(&self, client: &Client, page: PushedPage) -> Result<(), PushError> {
        let request = client.post(self.url()?).timeout(self.timeout).header(CONTENT_TYPE, "text/plain");
        let request = self.authorized(request)?;
        let PushedPage { encoding, body, charge } = page;
        let request = match encoding {
            None => request,
            Some(encoding) => request.header(CONTENT_ENCODING, encoding),
        };
        let sent = request.body(body).send().await;
        drop(charge);
        // Without the URL, which may contain a password; the log line has its redacted form.
        let status = sent.map_err(reqwest::Error::without_url)?.status();
        if status.is_success() { Ok(()) } else { Err(PushError::Status(status)) }
    }

    /// The address, with the labels as parameters.
    fn url(&self) -> Result<Url, PushError> {
        let mut url = self.push.target().and_then(|url| Url::parse(url).ok()).ok_or(PushError::Address)?;
        if self.push.auth.is_some() {
            // Or the request would have two headers `Authorization`. An address that cannot have a user has none.
            let _without = url.set_username("").and_then(|()| url.set_password(None));
        }
        let labels = &self.push.extra_labels;
        let own = (!labels.contains_key(INSTANCE)).then_some((INSTANCE, self.instance));
        let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(own);
        url.query_pairs_mut()
            .extend_pairs(labels.map(|(name, value)| ("extra_label", format!("{name}={value}"))));
        Ok(url)
    }

    /// The request with the header `Authorization`, if there is something for it.
    fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder, PushError> {
        let Some(auth) = self.push.auth.as_ref().map(ExposeSecret::expose_secret) else {
            return Ok(request);
        };
        if !auth.contains(' ') {
            return Ok(request.basic_auth(&self.push.user, Some(auth)));
        }
        let mut value = HeaderValue::from_str(auth)?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_left_out_beside_one_of_its_own() {
        let url = Some("https://ann:secret@a.example/import".into());
        let mut push = MetricsPush { enabled: true, url, ..MetricsPush::default() };
        let url = |push: &MetricsPush| {
            Template { push, instance: "one", timeout: Duration::ZERO }.url().expect("an address")
        };
        assert_eq!((url(&push).username(), url(&push).password()), ("ann", Some("secret")));
        push.auth = Some("another".into());
        assert_eq!((url(&push).username(), url(&push).password()), ("", None));
    }

    #[test]
    fn labels_are_added_to_the_parameters_of_the_address() {
        let mut push = MetricsPush {
            enabled: true,
            url: Some("https://a.example/import?key=k".into()),
            ..MetricsPush::default()
        };
        let url = |push: &MetricsPush| {
            Template { push, instance: "host:8080", timeout: Duration::ZERO }
                .url()
                .expect("an address")
                .to_string()
        };
        assert_eq!(url(&push), "https://a.example/import?key=k&extra_label=instance%3Dhost%3A8080");
        push.extra_labels = [("env", "a&b"), ("instance", "one")].map(|(k, v)| (k.into(), v.into())).into();
        assert_eq!(
            url(&push),
            "https://a.example/import?key=k&extra_label=env%3Da%26b&extra_label=instance%3Done"
        );
    }
}
