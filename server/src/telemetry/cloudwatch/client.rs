//! The client of CloudWatch: the AWS SDK with the settings of this server.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{Region, SharedHttpClient};
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use settings::CloudWatch;

use super::batches::datum;
use super::growth::Growth;
use crate::outgoing::with_sources;

/// How often a request is sent at most, at growing intervals. A pause of CloudWatch that is shorter than that leaves no gap.
const ATTEMPTS_MAX: u32 = 3;

/// Why metrics were not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum PutError {
    /// There are no credentials, or they cannot be read.
    #[error("no AWS credentials: {0}")]
    Credentials(String),
    /// There was no answer in time.
    #[error("there was no answer in time")]
    Timeout,
    /// The request failed, or was refused with a code.
    #[error("{text}")]
    Refused {
        /// The code of CloudWatch, or empty.
        code: String,
        /// With all causes.
        text: String,
    },
}

impl PutError {
    /// What two failures for the same reason have in common: the code, or without one the text.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Credentials(_) => "credentials",
            Self::Timeout => "timeout",
            Self::Refused { code, text } if code.is_empty() => text,
            Self::Refused { code, .. } => code,
        }
    }

    fn of(error: &SdkError<PutMetricDataError>) -> Self {
        let mut sources =
            std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
        if sources.any(|error| error.is::<CredentialsError>()) {
            return Self::Credentials(with_sources(error));
        }
        let is_timeout = match error {
            SdkError::TimeoutError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_timeout(),
            _other => false,
        };
        if is_timeout {
            return Self::Timeout;
        }
        Self::Refused { code: error.code().unwrap_or_default().to_owned(), text: with_sources(error) }
    }
}

/// A client with the settings that it was made with. Credentials are looked up when they are needed.
pub(super) struct CloudWatchClient(Client);

impl CloudWatchClient {
    /// Reads the variables and files of the AWS SDK, and asks for the region if nothing names it.
    pub(super) async fn new(settings: &CloudWatch, http: SharedHttpClient) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            // Bodies are small, and every request has a time-out.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self(Client::new(&loader.load().await))
    }

    /// Sends a part of the metrics, which were measured at this time.
    pub(super) async fn put(
        &self,
        settings: &CloudWatch,
        (part, at): (&[Growth], SystemTime),
        limit: Duration,
    ) -> Result<(), PutError> {
        let data = part.iter().map(|growth| datum(growth, settings, at)).collect();
        let timeouts = TimeoutConfig::builder().operation_timeout(limit).build();
        let overriding = aws_sdk_cloudwatch::config::Builder::new().timeout_config(timeouts);
        let request = self.0.put_metric_data().namespace(&settings.namespace).set_metric_data(Some(data));
        let sent = request.customize().config_override(overriding).send().await;
        sent.map(|_| ()).map_err(|error| PutError::of(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_same_reason_when_they_have_the_same_code_or_text() {
        let refused = |code: &str, text: &str| PutError::Refused { code: code.into(), text: text.into() };
        let (denied, later) = (refused("AccessDenied", "request 1"), refused("AccessDenied", "request 2"));
        assert_eq!(denied.reason(), later.reason());
        assert_ne!(refused("", "connection refused").reason(), refused("", "no such host").reason());
    }
}
