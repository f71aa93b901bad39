//! Bodies of 8 MB whose end does not come: 2.4 GB if the node kept them.

use std::time::Duration;

use harness::Token;

use super::{Attack, repeat};

pub const ATTACK: Attack = Attack {
    name: "unfinished-posts",
    about: "300 posts with a body of 8 MB each, all but its end",
    start: |target| {
        repeat(target, 300, |target, number| {
            let mut socket = target.dial(number)?;
            let head = format!(
                "POST /api/broadcast HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ncontent-length: 8000000\r\n\r\n",
                target.issuer().token(Token::Eternal)
            );
            socket.write(head.as_bytes())?;
            for _ in 0..79 {
                if socket.write(&[b' '; 100_000]).is_err() {
                    break;
                }
            }
            socket.discard_for(Duration::from_secs(15))?;
            Ok(())
        })
    },
};
