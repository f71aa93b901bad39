//! Where spans are sent, as the settings ask for.

use anyhow::{Context as _, anyhow};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use settings::{OtlpProtocol, Traces};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::collector::Collector;
use super::grpc_collector::GrpcCollector;
use super::http_collector::HttpCollector;
use crate::pem;

/// The key of the certificates that are accepted.
const CERTIFICATE_FILE: &str = "certificate_file";

/// A setting that cannot be used, below `telemetry.traces`, and why.
type Unusable = (&'static str, anyhow::Error);

/// Checks that the settings can be used.
///
/// # Errors
/// The key that cannot, and why.
pub fn check(settings: &Traces) -> Result<(), Unusable> {
    if settings.is_on() {
        check_address(settings)?;
        headers(settings)?;
        certificates(settings)?;
    }
    Ok(())
}

/// Checks that requests can be sent to the address. The client of gRPC does not send the user and password of one.
fn check_address(settings: &Traces) -> Result<(), Unusable> {
    let address: Uri = settings.target().parse().map_err(|_invalid| unusable_address(settings))?;
    let Some(authority) = address.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(unusable_address(settings));
    };
    if authority.as_str().contains('@') {
        let key = address_key(settings);
        return Err((key, anyhow!("must have no user and password: set `telemetry.traces.headers`")));
    }
    Ok(())
}

/// No request can be sent to the address. It is not in the message, nor is what the exporter says of it: it may contain a password.
fn unusable_address(settings: &Traces) -> Unusable {
    (address_key(settings), anyhow!("expected an address such as http://collector:4318"))
}

/// The key that the address is from.
fn address_key(settings: &Traces) -> &'static str {
    if settings.traces_endpoint.is_some() { "traces_endpoint" } else { "endpoint" }
}

/// What sends requests to the collector.
pub(super) fn collector(settings: &Traces) -> Result<Collector, Unusable> {
    let (headers, authorities) = (headers(settings)?, certificates(settings)?);
    Ok(match settings.protocol {
        OtlpProtocol::HttpProtobuf => {
            let (url, compression) = (settings.target(), settings.compression);
            let collector = HttpCollector::new(url, headers, compression, authorities.as_deref());
            Collector::Http(collector.map_err(|error| (CERTIFICATE_FILE, error.into()))?)
        }
        OtlpProtocol::Grpc => {
            let endpoint = endpoint(settings, authorities)?;
            Collector::Grpc(Box::new(GrpcCollector::new(endpoint, headers, settings.compression)))
        }
    })
}

/// The address of gRPC, and whose certificates are accepted there.
fn endpoint(settings: &Traces, authorities: Option<Vec<u8>>) -> Result<Endpoint, Unusable> {
    let endpoint =
        Endpoint::from_shared(settings.target()).map_err(|_with_the_address| unusable_address(settings))?;
    let user_agent = concat!("realtime-server/", env!("CARGO_PKG_VERSION"));
    let endpoint =
        endpoint.user_agent(user_agent).expect("the value of a header").connect_timeout(settings.timeout);
    if endpoint.uri().scheme() != Some(&Scheme::HTTPS) {
        return Ok(endpoint);
    }
    let tls = match authorities {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    endpoint.tls_config(tls).map_err(|error| (CERTIFICATE_FILE, error.into()))
}

/// The headers that the settings add. Names and values are in no message.
fn headers(settings: &Traces) -> Result<HeaderMap, Unusable> {
    let Some(text) = settings.headers.as_ref().map(ExposeSecret::expose_secret) else {
        return Ok(HeaderMap::new());
    };
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name.trim()).ok()?, value))
    };
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let headers: Option<HeaderMap> = pairs.map(header).collect();
    headers.ok_or_else(|| {
        (
            "headers",
            anyhow!("expected headers such as name=value,name=value, with values that are percent-encoded"),
        )
    })
}

/// The certificates that the collector's must be signed by, if the settings name some.
fn certificates(settings: &Traces) -> Result<Option<Vec<u8>>, Unusable> {
    let Some(file) = &settings.certificate_file else { return Ok(None) };
    let contents = pem::read(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(|error| (CERTIFICATE_FILE, error))?;
    if pem::certificates(&contents).is_none() {
        let found = pem::describe(&contents);
        return Err((
            CERTIFICATE_FILE,
            anyhow!("{} has no certificate in it (PEM): {found}", file.display()),
        ));
    }
    Ok(Some(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the text with which this address is refused.
    fn refusal(endpoint: &str) -> Option<(&'static str, String)> {
        let settings = Traces {
            exporter: settings::SpanExporter::Otlp,
            endpoint: Some(endpoint.into()),
            ..Traces::default()
        };
        check(&settings).err().map(|(key, error)| (key, format!("{error:#}")))
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_and_not_shown() {
        assert_eq!(refusal("http://collector:4318"), None);
        let text = "expected an address such as http://collector:4318";
        for endpoint in ["http://u:p^@collector", "http://", "http://secret host"] {
            assert_eq!(refusal(endpoint), Some(("endpoint", text.into())), "{endpoint}");
        }
        let text = "must have no user and password: set `telemetry.traces.headers`";
        assert_eq!(refusal("http://user:password@collector"), Some(("endpoint", text.into())));
    }
}
