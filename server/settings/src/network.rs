//! How a network is written: `10.0.0.0/8`, or a single address.

use std::net::IpAddr;

use ipnet::IpNet;

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be networks such as 10.0.0.0/8 or single addresses, not {0:?}")]
pub struct NetworkError(String);

/// A network as people write it; a single address is a network of one.
///
/// # Errors
/// What was expected, as a sentence.
pub fn parse_network(text: &str) -> Result<IpNet, NetworkError> {
    let text = text.trim();
    let network = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()));
    network.ok_or_else(|| NetworkError(text.to_owned()))
}
