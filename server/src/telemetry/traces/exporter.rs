//! What encodes spans and sends them, as the settings ask for.

use std::collections::HashMap;

use anyhow::{Context as _, anyhow};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use settings::{OtlpCompression, OtlpProtocol, Traces};

use super::collector_client::{CollectorClient, LastFailure};
use crate::pem;

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

/// Checks that requests can be sent to the address. No client of the exporter sends the user and password of one.
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

/// The exporter, and where it leaves why a request failed.
pub(super) fn build(settings: &Traces) -> Result<(SpanExporter, LastFailure), Unusable> {
    let failure = LastFailure::default();
    let exporter = match settings.protocol {
        OtlpProtocol::HttpProtobuf => http(settings, &failure)?,
        OtlpProtocol::Grpc => grpc(settings)?,
    };
    Ok((exporter, failure))
}

fn http(settings: &Traces, failure: &LastFailure) -> Result<SpanExporter, Unusable> {
    let client = CollectorClient::new(certificates(settings)?.as_deref(), failure.clone());
    let client = client.map_err(|error| ("certificate_file", error))?;
    let headers = headers(settings)?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: HashMap<_, _> =
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let builder = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.target())
        .with_timeout(settings.timeout)
        .with_headers(headers);
    let builder = match settings.compression {
        OtlpCompression::None => builder,
        OtlpCompression::Gzip => builder.with_compression(Compression::Gzip),
    };
    builder.build().map_err(|_with_the_address| unusable_address(settings))
}

fn grpc(settings: &Traces) -> Result<SpanExporter, Unusable> {
    let builder = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(settings.target())
        .with_timeout(settings.timeout)
        .with_metadata(MetadataMap::from_headers(headers(settings)?));
    let builder = match settings.compression {
        OtlpCompression::None => builder,
        OtlpCompression::Gzip => builder.with_compression(Compression::Gzip),
    };
    let tls = match certificates(settings)? {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    let builder =
        if settings.target().starts_with("https://") { builder.with_tls_config(tls) } else { builder };
    builder.build().map_err(|_with_the_address| unusable_address(settings))
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
    const KEY: &str = "certificate_file";
    let Some(file) = &settings.certificate_file else { return Ok(None) };
    let contents = pem::read(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(|error| (KEY, error))?;
    if pem::certificates(&contents).is_none() {
        let found = pem::describe(&contents);
        return Err((KEY, anyhow!("{} has no certificate in it (PEM): {found}", file.display())));
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
