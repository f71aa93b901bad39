//! Batches as large as a request may be, with as many messages as a batch may have.

use std::time::Duration;

use harness::Token;

use super::{Attack, repeat};

const MESSAGES: usize = 1_000;

pub const ATTACK: Attack = Attack {
    name: "large-batches",
    about: "four clients post batches of 1,000 messages of 7.8 kB",
    start: |target| {
        repeat(target, 4, |target, number| {
            let message = format!(
                r#"{{"topic":"batch","event":"e","payload":{{"numbers":[{}0]}}}}"#,
                "0,".repeat(3_850)
            );
            let body = format!(r#"{{"messages":[{}]}}"#, vec![message; MESSAGES].join(","));
            let request = format!(
                "POST /api/broadcast HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                target.issuer().token(Token::Eternal),
                body.len()
            );
            let mut socket = target.dial(number)?;
            loop {
                // Of one that is refused, the rest is not read.
                let _refused = socket.write(request.as_bytes());
                socket.response_head()?;
                super::count_round();
                if !socket.discard_for(Duration::from_millis(50))? {
                    return Ok(());
                }
            }
        })
    },
};
