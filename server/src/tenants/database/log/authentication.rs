//! Proving to the server who connects: no password, a password in plain text, its MD5 hash, or SCRAM-SHA-256.

use md5::{Digest as _, Md5};
use pgwire_replication::auth::ScramClient;
use pgwire_replication::protocol::parse_auth_request;
use secrecy::{ExposeSecret as _, SecretString};

use super::connection::{LogConnection, kind};
use super::{LogError, LogOptions};

/// The most iterations of SCRAM's hash: a second of work. PostgreSQL's default is 4,096, and the server chooses.
const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// The requests of the server (`Authentication…`).
mod request {
    pub(super) const OK: i32 = 0;
    pub(super) const CLEARTEXT: i32 = 3;
    pub(super) const MD5: i32 = 5;
    pub(super) const SASL: i32 = 10;
    pub(super) const SASL_CONTINUE: i32 = 11;
    pub(super) const SASL_FINAL: i32 = 12;
}

/// Answers the server's request, and waits until the session is ready.
pub(super) async fn authenticate(
    connection: &mut LogConnection,
    options: &LogOptions,
) -> Result<(), LogError> {
    let password = options.password.expose_secret();
    let (code, data) = receive(connection).await?;
    match code {
        request::OK => return connection.until(kind::READY).await,
        request::CLEARTEXT => send_text(connection, password).await?,
        request::MD5 => send_text(connection, &md5_response(&options.user, password, &data)).await?,
        request::SASL => scram(connection, options, &data).await?,
        other => {
            return Err(LogError::Authentication(format!("the server asks for the unknown method {other}")));
        }
    }
    expect(connection, request::OK).await?;
    connection.until(kind::READY).await
}

async fn receive(connection: &mut LogConnection) -> Result<(i32, Vec<u8>), LogError> {
    loop {
        let message = connection.receive().await?;
        match message.tag {
            kind::AUTHENTICATION => {
                let (code, data) = parse_auth_request(&message.payload)?;
                return Ok((code, data.to_vec()));
            }
            kind::ERROR => return Err(LogError::from_response(&message.payload)),
            _ => {}
        }
    }
}

async fn expect(connection: &mut LogConnection, expected: i32) -> Result<Vec<u8>, LogError> {
    match receive(connection).await? {
        (code, data) if code == expected => Ok(data),
        (code, _) => Err(LogError::Protocol(format!("authentication step {code} instead of {expected}"))),
    }
}

/// Sends a password, which ends with a zero byte.
async fn send_text(connection: &mut LogConnection, text: &str) -> Result<(), LogError> {
    connection.send_password(&[text.as_bytes(), b"\0"].concat()).await
}

/// `md5` and the hash of the salt and of the hash that the server has stored.
fn md5_response(user: &str, password: &str, salt: &[u8]) -> String {
    let hash = |parts: [&[u8]; 2]| {
        let digest = Md5::new().chain_update(parts[0]).chain_update(parts[1]).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let stored = hash([password.as_bytes(), user.as_bytes()]);
    format!("md5{}", hash([stored.as_bytes(), salt]))
}

/// SCRAM-SHA-256, in which the server proves as well that it knows the password.
async fn scram(
    connection: &mut LogConnection,
    options: &LogOptions,
    mechanisms: &[u8],
) -> Result<(), LogError> {
    const MECHANISM: &[u8] = b"SCRAM-SHA-256";
    if !mechanisms.split(|&byte| byte == 0).any(|name| name == MECHANISM) {
        return Err(LogError::Authentication("the server does not offer SCRAM-SHA-256".into()));
    }
    let client = ScramClient::new(&options.user);
    let first = client.client_first.as_bytes();
    let length = (first.len() as u32).to_be_bytes();
    connection.send_password(&[MECHANISM, b"\0", &length, first].concat()).await?;
    let challenge = expect(connection, request::SASL_CONTINUE).await?;
    let challenge = String::from_utf8_lossy(&challenge).into_owned();
    let (response, proof, key) = answer(client, options.password.clone(), challenge).await?;
    connection.send_password(response.as_bytes()).await?;
    let signature = expect(connection, request::SASL_FINAL).await?;
    ScramClient::verify_server_final(&String::from_utf8_lossy(&signature), &key, &proof)?;
    Ok(())
}

/// The response to a challenge, the text that the server signs, and the key of its signature. Takes milliseconds, so it is
/// computed beside the runtime.
async fn answer(
    client: ScramClient,
    password: SecretString,
    challenge: String,
) -> Result<(String, String, Vec<u8>), LogError> {
    let (_, _, iterations) = ScramClient::parse_server_first(&challenge)?;
    if iterations > SCRAM_ITERATIONS_MAX {
        return Err(LogError::Authentication(format!("{iterations} iterations of SCRAM are too many")));
    }
    let computing =
        tokio::task::spawn_blocking(move || client.client_final(password.expose_secret(), &challenge));
    Ok(computing.await.map_err(|_panicked| LogError::Closed)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_md5_response_is_that_of_postgresql() {
        // As computed by `select 'md5' || md5(md5('secret' || 'ann') || 'salt')`.
        assert_eq!(md5_response("ann", "secret", b"salt"), "md5b8f5ba9f485dba302ec0963f7ee9ba8f");
    }
}
