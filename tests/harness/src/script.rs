//! The language of conversations, line by line.
//!
//! ```text
//! ann, bob join realtime:a                          a socket each if needed (V2), phx_join, the ok reply
//! ann (v1) joins realtime:a {"broadcast":{"self":true}}        V1; the join's `config`
//! ann (node 2) joins realtime:a                     at the second of the conversation's servers
//! ann connects | connects with token expired | connects at /socket/websocket
//! ann > ["1","2","realtime:a","broadcast",{}]       sends this text, JSON or not
//! ann > binary 03 01 01 'realtime:a' '{"x":1}'      sends these bytes: hex, or text in single quotes
//! bob < [null,null,"realtime:a","broadcast",_]      the next frame; `_` any value, `…` any text
//! bob < binary 04 …                                 the next frame, byte for byte
//! bob <~ […]                                        lines in a row: the next frames, in any order
//! bob is quiet                                      no frame comes after all others are handled
//! bob is alive                                      a heartbeat is answered; other frames stay unread
//! bob is closed 1012 | is closed                    close frame with this code | any end
//! ann leaves realtime:a                             phx_leave, its reply, phx_close
//! ann vanishes                                      the TCP connection is cut
//! POST /api/broadcast {"messages":[]} -> 202        with a valid bearer token; the body may follow
//! the server stops
//! ```
//!
//! A client's n-th join has ref and join_ref `"n"`. `$valid`, `$expired` and so on are tokens
//! (`tokens.rs`). Lines that begin with `#` are comments.

use anyhow::{Context as _, Result, bail, ensure};

use crate::client::Dialect;
use crate::tokens::Token;

/// One parsed line.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<'a> {
    /// Clients do or receive something.
    Client { who: Vec<Actor<'a>>, act: Action<'a> },
    /// An HTTP request and the expected response.
    Post { target: &'a str, body: &'a str, status: u16, answer: Option<&'a str> },
    /// The server stops, and drains its connections.
    ServerStops,
}

/// A client by its name, with the dialect and the server if the line names them.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub name: &'a str,
    pub dialect: Option<Dialect>,
    pub node: Option<usize>,
}

/// What a client does.
#[derive(Debug, PartialEq)]
pub(crate) enum Action<'a> {
    Connect { path: Option<&'a str>, token: Token },
    Join { topic: &'a str, config: Option<&'a str> },
    Leave { topic: &'a str },
    Send(FrameText<'a>),
    Receive(FrameText<'a>),
    ReceiveInAnyOrder(FrameText<'a>),
    Quiet,
    Alive,
    Closed { code: Option<u16> },
    Vanish,
}

/// A frame as written in a script.
#[derive(Debug, PartialEq)]
pub(crate) enum FrameText<'a> {
    Text(&'a str),
    Binary(Vec<u8>),
}

/// Parses one line; `None` for blank lines and comments.
pub(crate) fn parse(line: &str) -> Result<Option<Step<'_>>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line == "the server stops" {
        return Ok(Some(Step::ServerStops));
    }
    if let Some(request) = line.strip_prefix("POST ") {
        return post(request).map(Some);
    }
    let (who, rest) = actors(line)?;
    Ok(Some(Step::Client { who, act: act(rest)? }))
}

fn post(request: &str) -> Result<Step<'_>> {
    let (sent, answer) = request.rsplit_once(" -> ").context("a POST needs `-> status`")?;
    let (target, body) = sent.split_once(' ').unwrap_or((sent, ""));
    let (status, answer) =
        answer.split_once(' ').map_or((answer, None), |(status, body)| (status, Some(body)));
    Ok(Step::Post { target, body, status: status.parse().context("a status is a number")?, answer })
}

fn actors(line: &str) -> Result<(Vec<Actor<'_>>, &str)> {
    let (mut who, mut rest) = (Vec::new(), line);
    loop {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        ensure!(end > 0, "no client is named in `{line}`");
        let (name, after) = rest.split_at(end);
        let (mut after, mut actor) = (after.trim_start(), Actor { name, dialect: None, node: None });
        while let Some((detail, next)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            match detail.strip_prefix("node ") {
                Some(number) => actor.node = Some(number.parse().context("a node has a number")?),
                None if detail == "v1" => actor.dialect = Some(Dialect::V1),
                None => bail!("`({detail})` is neither a dialect nor a node"),
            }
            after = next.trim_start();
        }
        who.push(actor);
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return Ok((who, after)),
        }
    }
}

fn act(rest: &str) -> Result<Action<'_>> {
    let (verb, object) = rest.split_once(' ').map_or((rest, ""), |(verb, object)| (verb, object.trim()));
    Ok(match verb {
        ">" => Action::Send(frame_text(object)?),
        "<" => Action::Receive(frame_text(object)?),
        "<~" => Action::ReceiveInAnyOrder(frame_text(object)?),
        "connect" | "connects" => connect(object)?,
        "join" | "joins" => match object.split_once(' ') {
            Some((topic, config)) => Action::Join { topic, config: Some(config) },
            None => Action::Join { topic: object, config: None },
        },
        "leave" | "leaves" => Action::Leave { topic: object },
        "vanish" | "vanishes" => Action::Vanish,
        "is" | "are" => state(object)?,
        _ => bail!("unknown verb `{verb}`"),
    })
}

fn connect(options: &str) -> Result<Action<'_>> {
    let (mut path, mut token) = (None, Token::Valid);
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "at" => path = words.next(),
            "with" | "token" => {}
            name => token = Token::named(name).with_context(|| format!("unknown token `{name}`"))?,
        }
    }
    Ok(Action::Connect { path, token })
}

fn state(words: &str) -> Result<Action<'_>> {
    Ok(match words.split_once(' ') {
        None if words == "quiet" => Action::Quiet,
        None if words == "alive" => Action::Alive,
        None if words == "closed" => Action::Closed { code: None },
        Some(("closed", code)) => {
            Action::Closed { code: Some(code.parse().context("a close code is a number")?) }
        }
        _ => bail!("unknown state `{words}`"),
    })
}

fn frame_text(text: &str) -> Result<FrameText<'_>> {
    match text.strip_prefix("binary") {
        Some(bytes) => Ok(FrameText::Binary(binary(bytes)?)),
        None => Ok(FrameText::Text(text)),
    }
}

/// Parses pairs of hex digits with optional spaces, and text in single quotes.
fn binary(mut text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(first) = text.trim_start().chars().next() {
        text = text.trim_start();
        if first == '\'' {
            let (quoted, rest) = text[1..].split_once('\'').context("a single quote is not closed")?;
            bytes.extend_from_slice(quoted.as_bytes());
            text = rest;
        } else {
            let pair = text.get(..2).with_context(|| format!("a single hex digit: `{text}`"))?;
            bytes.push(u8::from_str_radix(pair, 16).with_context(|| format!("not hex: `{pair}`"))?);
            text = &text[2..];
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Step<'_> {
        parse(line).expect("a good line").expect("not a comment")
    }

    #[test]
    fn a_line_may_name_several_clients_and_their_dialects() {
        let ann = Actor { name: "ann", dialect: Some(Dialect::V1), node: Some(2) };
        let bob = Actor { name: "bob", dialect: None, node: None };
        let act = Action::Join { topic: "realtime:a", config: Some(r#"{"private":true}"#) };
        assert_eq!(
            parsed(r#" ann (v1) (node 2), bob join realtime:a {"private":true}"#),
            Step::Client { who: vec![ann, bob], act }
        );
    }

    #[test]
    fn bytes_are_hex_or_quoted_text() {
        let Step::Client { act: Action::Send(sent), .. } = parsed("ann > binary 03 ff01 'a b' 00") else {
            panic!("ann sends")
        };
        assert_eq!(sent, FrameText::Binary(vec![3, 255, 1, b'a', b' ', b'b', 0]));
    }

    #[test]
    fn malformed_lines_are_refused() {
        assert!(parse("ann dances").is_err());
        assert!(parse("ann is closed soon").is_err());
        assert!(parse("ann > binary 0").is_err());
    }
}
