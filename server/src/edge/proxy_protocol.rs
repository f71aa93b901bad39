//! The PROXY protocol, versions 1 and 2: a load balancer says whom it brings.
//!
//! Believed is only who comes from a network named in `server.proxy_protocol_from`, and from there it must be
//! said, first of all and before TLS. Nobody else is listened to: there the same bytes are bad HTTP.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The shortest header there is: `PROXY UNKNOWN\r\n`. Nothing beyond a header must be read.
const SHORTEST: usize = 15;

/// The first bytes of version 1.
const PREFIX_V1: &[u8] = b"PROXY";

/// The first bytes of version 2.
const PREFIX_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, its end included.
const LONGEST_V1: usize = 107;

/// Bytes of version 2 that say how many follow.
const START_V2: usize = 16;

/// Bytes that may follow: addresses, and what balancers add to them (the TLS client's name, say).
const LONGEST_REST_V2: usize = 2 * 1024;

/// Networks from which the protocol must be spoken.
#[derive(Debug, Default)]
pub struct Balancers(Vec<IpNet>);

/// Why a connection from a load balancer is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// It hung up before it said anything, as many a health check does.
    #[error("it hung up at once")]
    Nothing,
    #[error("the header breaks off")]
    Broken(#[source] io::Error),
    #[error("no PROXY protocol header comes first")]
    Absent,
    #[error("the header is too long")]
    TooLong,
    #[error("the header cannot be read")]
    Invalid(#[source] proxy_header::Error),
}

impl Balancers {
    /// Those of `server.proxy_protocol_from`.
    ///
    /// # Errors
    /// When one of them is no network; the error says which.
    pub fn parse(networks: &[String]) -> Result<Self, settings::NetworkError> {
        networks.iter().map(|network| settings::parse_network(network)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a connection from `address` must begin with a header.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads the header, and not one byte beyond it. `None` when the balancer speaks for itself.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, HeaderError> {
    let mut header = vec![0; SHORTEST];
    match stream.read(&mut header).await {
        Ok(0) => return Err(HeaderError::Nothing),
        Ok(read) => stream.read_exact(&mut header[read..]).await.map_err(HeaderError::Broken)?,
        Err(error) => return Err(HeaderError::Broken(error)),
    };
    if header.starts_with(PREFIX_V2) {
        read_v2(stream, &mut header).await?;
    } else if header.starts_with(PREFIX_V1) {
        read_v1(stream, &mut header).await?;
    } else {
        return Err(HeaderError::Absent);
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (header, _length) = ProxyHeader::parse(&header, config).map_err(HeaderError::Invalid)?;
    // Without addresses it is a health check of the balancer's own, or the client has none (a UNIX socket).
    Ok(header.proxied_address().map(|addresses| addresses.source.ip()))
}

/// Completes `line` up to its end.
async fn read_v1(stream: &mut (impl AsyncRead + Unpin), line: &mut Vec<u8>) -> Result<(), HeaderError> {
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_V1 {
            return Err(HeaderError::TooLong);
        }
        // One by one, because nothing says how many there are.
        line.push(stream.read_u8().await.map_err(HeaderError::Broken)?);
    }
    Ok(())
}

/// Completes `header` up to the length that it states.
async fn read_v2(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), HeaderError> {
    header.push(stream.read_u8().await.map_err(HeaderError::Broken)?);
    let rest = usize::from(u16::from_be_bytes([header[START_V2 - 2], header[START_V2 - 1]]));
    if rest > LONGEST_REST_V2 {
        return Err(HeaderError::TooLong);
    }
    header.resize(START_V2 + rest, 0);
    stream.read_exact(&mut header[START_V2..]).await.map_err(HeaderError::Broken)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of `bytes`, and what is left of them.
    async fn read_from(mut bytes: &[u8]) -> (Result<Option<IpAddr>, String>, &[u8]) {
        let read = read(&mut bytes).await.map_err(|error| error.to_string());
        (read, bytes)
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = PREFIX_V2.to_vec();
        header.extend([command, family]);
        header.extend((rest.len() as u16).to_be_bytes());
        header.extend(rest);
        header
    }

    /// From 192.0.2.7:4242 to 198.51.100.1:443.
    const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0x92, 1, 0xbb];

    #[tokio::test]
    async fn the_client_is_known_and_nothing_beyond_the_header_is_read() {
        let client: IpAddr = "192.0.2.7".parse().expect("an address");
        let mut with_more = V4.to_vec();
        // An authority (type 2) of 200 bytes.
        with_more.extend([2, 0, 200]);
        with_more.extend([b'x'; 200]);
        for header in [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n".to_vec(),
            v2(0x21, 0x11, &V4),
            v2(0x21, 0x11, &with_more),
        ] {
            let bytes = [&header[..], b"GET"].concat();
            assert_eq!(read_from(&bytes).await, (Ok(Some(client)), &b"GET"[..]));
        }
        let client: IpAddr = "2001:db8::7".parse().expect("an address");
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 4242 443\r\nGET";
        assert_eq!(read_from(line).await, (Ok(Some(client)), &b"GET"[..]));
    }

    #[tokio::test]
    async fn a_balancer_may_speak_for_itself() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, &V4),
            v2(0x21, 0x00, &[]),
            v2(0x21, 0x31, &[0; 216]),
        ] {
            let bytes = [&header[..], b"GET"].concat();
            assert_eq!(read_from(&bytes).await, (Ok(None), &b"GET"[..]), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_told_and_never_read_without_end() {
        let error = async |bytes: &[u8]| read_from(bytes).await.0.expect_err("no header");
        assert_eq!(error(b"").await, "it hung up at once");
        assert_eq!(error(b"GET / HTTP/1.1\r\n\r\n").await, "no PROXY protocol header comes first");
        assert_eq!(error(b"PROXY TCP4 192.0.2.7").await, "the header breaks off");
        assert_eq!(error(&[&b"PROXY TCP4 "[..], &[b'1'; 4_096]].concat()).await, "the header is too long");
        assert_eq!(error(b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n").await, "the header cannot be read");
        assert_eq!(error(b"PROXY TCP4\xff\xff 1.2.3.4 1 2\r\n").await, "the header cannot be read");
        assert_eq!(error(&v2(0x21, 0x11, &V4[..11])).await, "the header cannot be read");
        assert_eq!(error(&v2(0x31, 0x11, &V4)).await, "the header cannot be read");
        assert_eq!(error(&v2(0x21, 0x11, &[0; 2_049])).await, "the header is too long");
        assert_eq!(error(&v2(0x21, 0x11, &V4)[..20]).await, "the header breaks off");
    }

    #[test]
    fn balancers_are_networks_or_single_addresses() {
        let named = ["10.0.0.0/8".to_owned(), "192.0.2.7".to_owned(), "2001:db8::/32".to_owned()];
        let balancers = Balancers::parse(&named).expect("good networks");
        for (address, is_one) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("::ffff:10.0.0.1", true),
        ] {
            assert_eq!(balancers.contain(address.parse().expect("an address")), is_one, "{address}");
        }
        assert!(Balancers::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
