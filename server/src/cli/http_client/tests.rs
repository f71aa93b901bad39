//! Responses and servers that are none.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;

/// A server that reads the request, responds with these bytes, and waits for the client to close.
async fn responding(response: &'static [u8]) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a whole request"));
        }
        assert!(request.starts_with(b"GET /health HTTP/1.1\r\n"), "{request:?}");
        let request = String::from_utf8_lossy(&request).into_owned();
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
        stream.write_all(response).await.expect("the client reads");
        if !response.is_empty() {
            let _ = stream.read(&mut [0]).await;
        }
    });
    format!("http://{address}/health").parse().expect("a URL")
}

async fn status(url: &Uri) -> anyhow::Result<u16> {
    let mut connection = ServerConnection::open(url, &Networks::default(), &Trust::Any).await?;
    Ok(connection.send(url, Request::default()).await?.status().as_u16())
}

async fn requested(response: &'static [u8]) -> Result<u16, String> {
    status(&responding(response).await).await.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn the_status_is_returned() {
    assert_eq!(requested(b"HTTP/1.1 200 OK\r\n\r\n{}").await, Ok(200));
    assert_eq!(requested(b"HTTP/1.0 503 Service Unavailable\r\n\r\n").await, Ok(503));
}

#[tokio::test]
async fn a_response_without_a_status_is_an_error() {
    assert_eq!(requested(b"").await, Err("the connection was closed without a response".into()));
    assert_eq!(requested(b"SSH-2.0-x\r\n").await, Err("the response is not HTTP".into()));
    assert_eq!(requested(&[b'x'; 4096]).await, Err("the response is not HTTP".into()));
}

#[tokio::test]
async fn a_closed_port_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
    drop(listener);
    let error = status(&url).await.expect_err("the port is closed");
    assert!(format!("{error:#}").starts_with("cannot connect: "), "{error:#}");
    let error = status(&Uri::from_static("ftp://x/")).await;
    assert_eq!(error.expect_err("no HTTP").to_string(), "only http:// and https:// URLs are supported");
}
