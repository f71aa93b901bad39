//! An operator who manages tenants over HTTP, on connections that stay open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::machine::Deadline;
use crate::server::Target;

/// The secret of operators.
const SECRET: &str = "the secret of the operators of a benchmark";

/// Signs the tokens of the tenants that are created.
pub const TENANT_SECRET: &str = "the secret of a tenant that is created, of some length";

/// How long a call may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What a server needs, so that it knows operators.
pub fn variables() -> [(&'static str, String); 2] {
    [
        ("REALTIME__ADMIN__JWT_SECRET", SECRET.to_owned()),
        // Only a database needs it; the embedded store would generate one.
        ("REALTIME__STORE__ENCRYPTION_KEY", "a key for AES-GCM of 32 bytes !!".to_owned()),
    ]
}

/// The connections of an operator.
pub struct Operator {
    connections: Vec<BufReader<TcpStream>>,
    address: SocketAddr,
    token: String,
}

impl Operator {
    /// Connects so many times, and waits until the store can be written.
    pub fn connect(target: &Target, connections: usize) -> Result<Self> {
        let connect = || {
            let stream = TcpStream::connect(target.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            Ok(BufReader::new(stream))
        };
        let connections = (0..connections).map(|_| connect()).collect::<Result<_>>()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &json!({"exp": now + 3600}), &key)?;
        let mut operator = Self { connections, address: target.address, token };
        let deadline = Deadline::after(ANSWER_MAX);
        let first = [("the-first".to_owned(), json!({"jwt_secret": TENANT_SECRET}))];
        while operator.put_all(&first)?[0] >= 300 {
            deadline.check(|| "the store cannot be written".to_owned())?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(operator)
    }

    /// Creates `count` tenants from this number on, one at a time on each connection. The target must accept each.
    pub fn create(&mut self, numbers: std::ops::Range<usize>) -> Result<()> {
        let numbers: Vec<_> = numbers.collect();
        for batch in numbers.chunks(self.connections.len()) {
            let calls = batch.iter().map(|number| {
                let name = tenant(*number);
                (name, json!({"jwt_secret": TENANT_SECRET}))
            });
            let statuses = self.put_all(&calls.collect::<Vec<_>>())?;
            ensure!(statuses.iter().all(|status| *status == 201), "not created: {statuses:?}");
        }
        Ok(())
    }

    /// Changes a tenant.
    pub fn put(&mut self, tenant: &str, fields: Value) -> Result<()> {
        let statuses = self.put_all(&[(tenant.to_owned(), fields)])?;
        ensure!(statuses == [200], "not changed: {statuses:?}");
        Ok(())
    }

    /// One call on each connection at the same time. Returns the statuses.
    fn put_all(&mut self, calls: &[(String, Value)]) -> Result<Vec<u16>> {
        for (connection, (tenant, fields)) in self.connections.iter_mut().zip(calls) {
            let body = json!({ "tenant": fields }).to_string();
            let head = format!(
                "PUT /api/tenants/{tenant} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                self.address,
                self.token,
                body.len()
            );
            connection.get_mut().write_all((head + &body).as_bytes())?;
        }
        self.connections.iter_mut().zip(calls).map(|(connection, _)| answer(connection)).collect()
    }
}

/// The name of a tenant that is created.
pub fn tenant(number: usize) -> String {
    format!("tenant-{number:05}")
}

/// A token of a user of a tenant that is created.
pub fn user_token() -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims = json!({"role": "authenticated", "exp": now + 3600});
    Ok(jsonwebtoken::encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(TENANT_SECRET.as_bytes()),
    )?)
}

/// Sends a message to a room over HTTP, with these header lines. Returns the status.
pub fn post_broadcast(connection: &mut BufReader<TcpStream>, headers: &str) -> Result<u16> {
    let body = r#"{"messages":[{"topic":"room","event":"message","payload":{"text":"hello"}}]}"#;
    let request = format!(
        "POST /api/broadcast HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.get_mut().write_all(request.as_bytes())?;
    answer(connection)
}

/// The status of one answer, whose body is read too.
pub fn answer(connection: &mut impl BufRead) -> Result<u16> {
    let mut status = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(connection.read_line(&mut line)? > 0, "the connection ended before an answer");
        if status.is_none() {
            let number = line.split(' ').nth(1).context("no status line")?;
            status = Some(number.parse().context("a status is a number")?);
        }
        let header = line.trim_end().split_once(": ");
        match header {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            Some(_) => {}
            None if line == "\r\n" => break,
            None => {}
        }
    }
    std::io::copy(&mut connection.take(length), &mut std::io::sink())?;
    status.context("no status")
}
