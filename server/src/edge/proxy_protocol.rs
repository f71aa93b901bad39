//! The PROXY protocol, versions 1 and 2: a load balancer sends the address of its client ahead of the client's bytes.
//!
//! Connections from the networks in `server.proxy_protocol_from` must begin with the header, before TLS. On all other
//! connections the header is not read, because any client could forge it; there its bytes are an invalid HTTP request.

use std::io;
use std::net::IpAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The length of the shortest header, `PROXY UNKNOWN\r\n`. Bytes after the header must not be read.
const LENGTH_MIN: usize = 15;

/// The first bytes of version 1.
const PREFIX_V1: &[u8] = b"PROXY";

/// The first bytes of version 2.
const PREFIX_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the longest line of version 1, with its end.
const V1_LENGTH_MAX: usize = 107;

/// The fixed part of a header of version 2. Its last two bytes are the length of the rest.
const V2_FIXED_LENGTH: usize = 16;

/// The accepted length of the rest: addresses, and additions of the balancer, such as the name in the TLS handshake.
const V2_REST_LENGTH_MAX: usize = 2 * 1024;

/// Why no header could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The balancer closed the connection without sending a byte, as health checks of the port do.
    #[error("the connection was closed at once")]
    Nothing,
    #[error("the header is incomplete")]
    Incomplete(#[source] io::Error),
    #[error("the connection does not begin with a PROXY protocol header")]
    Absent,
    #[error("the header is too long")]
    TooLong,
    #[error("the header is invalid")]
    Invalid(#[source] proxy_header::Error),
}

/// Reads the header and no byte after it. `None` when the header names no client.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, HeaderError> {
    let mut header = vec![0; LENGTH_MIN];
    match stream.read(&mut header).await {
        Ok(0) => return Err(HeaderError::Nothing),
        Ok(read) => stream.read_exact(&mut header[read..]).await.map_err(HeaderError::Incomplete)?,
        Err(error) => return Err(HeaderError::Incomplete(error)),
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
    // Without addresses it is a health check of the balancer, or the client has none (a UNIX socket).
    Ok(header.proxied_address().map(|addresses| addresses.source.ip()))
}

/// Reads the rest of a line of version 1 into `line`.
async fn read_v1(stream: &mut (impl AsyncRead + Unpin), line: &mut Vec<u8>) -> Result<(), HeaderError> {
    while !line.ends_with(b"\r\n") {
        if line.len() == V1_LENGTH_MAX {
            return Err(HeaderError::TooLong);
        }
        // Byte by byte, because the length is not known in advance.
        line.push(stream.read_u8().await.map_err(HeaderError::Incomplete)?);
    }
    Ok(())
}

/// Reads the rest of a header of version 2 into `header`.
async fn read_v2(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), HeaderError> {
    header.push(stream.read_u8().await.map_err(HeaderError::Incomplete)?);
    let rest = usize::from(u16::from_be_bytes([header[V2_FIXED_LENGTH - 2], header[V2_FIXED_LENGTH - 1]]));
    if rest > V2_REST_LENGTH_MAX {
        return Err(HeaderError::TooLong);
    }
    header.resize(V2_FIXED_LENGTH + rest, 0);
    stream.read_exact(&mut header[V2_FIXED_LENGTH..]).await.map_err(HeaderError::Incomplete)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of reading a header from `bytes`, and the bytes that are left.
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
    async fn the_header_names_the_client_and_no_byte_after_it_is_read() {
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
    async fn a_header_without_addresses_names_no_client() {
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
    async fn an_invalid_header_is_an_error_and_is_read_to_a_bound() {
        let error = async |bytes: &[u8]| read_from(bytes).await.0.expect_err("no header");
        assert_eq!(error(b"").await, "the connection was closed at once");
        assert_eq!(
            error(b"GET / HTTP/1.1\r\n\r\n").await,
            "the connection does not begin with a PROXY protocol header"
        );
        assert_eq!(error(b"PROXY TCP4 192.0.2.7").await, "the header is incomplete");
        assert_eq!(error(&[&b"PROXY TCP4 "[..], &[b'1'; 4_096]].concat()).await, "the header is too long");
        assert_eq!(error(b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n").await, "the header is invalid");
        assert_eq!(error(b"PROXY TCP4\xff\xff 1.2.3.4 1 2\r\n").await, "the header is invalid");
        assert_eq!(error(&v2(0x21, 0x11, &V4[..11])).await, "the header is invalid");
        assert_eq!(error(&v2(0x31, 0x11, &V4)).await, "the header is invalid");
        assert_eq!(error(&v2(0x21, 0x11, &[0; 2_049])).await, "the header is too long");
        assert_eq!(error(&v2(0x21, 0x11, &V4)[..20]).await, "the header is incomplete");
    }
}
