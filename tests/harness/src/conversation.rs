//! Plays a script: keeps the cast, runs the lines, and shows where it went otherwise.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Frame, shown};
use crate::expect::{matches, pattern};
use crate::http::Request;
use crate::script::{Act, Line, Who, Words, parse};
use crate::tokens::Token;
use crate::world::{SOCKET, World};

/// The people of a conversation and the worlds they are in; lives over several scripts.
#[derive(Debug)]
pub struct Conversation<'w> {
    worlds: Vec<&'w World>,
    cast: BTreeMap<String, Client>,
}

impl<'w> Conversation<'w> {
    /// Nobody yet. Who does not say otherwise goes to the first of these servers.
    pub fn among(worlds: impl IntoIterator<Item = &'w World>) -> Conversation<'w> {
        Conversation { worlds: worlds.into_iter().collect(), cast: BTreeMap::new() }
    }

    /// The client a script introduced under this name.
    ///
    /// # Panics
    /// When no script did.
    pub fn client(&mut self, name: &str) -> &mut Client {
        self.cast.get_mut(name).unwrap_or_else(|| panic!("{name} has not connected"))
    }

    /// Runs a script, or more of it.
    ///
    /// # Panics
    /// When a line does not hold.
    pub async fn check(&mut self, script: &str) {
        let lines: Vec<&str> = script.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            match self.step(&lines[at..]).await {
                Ok(taken) => at += taken,
                Err(error) => panic!("{}", told(&lines, at, &error)),
            }
        }
    }

    /// Runs the first line, or the first few if they belong together; how many those were.
    async fn step(&mut self, lines: &[&str]) -> Result<usize> {
        let Some(line) = parse(lines[0])? else { return Ok(1) };
        match line {
            Line::ServerStops => self.worlds[0].stop_server().await,
            Line::Post { target, body, status, answer } => self.post(target, body, status, answer).await?,
            Line::Client { who, act: Act::HearInAnyOrder(first) } => {
                let group = same_group(lines, &who, first)?;
                let taken = group.len();
                for who in &who {
                    self.hear_in_any_order(who, &group).await.with_context(|| who.name.to_owned())?;
                }
                return Ok(taken);
            }
            Line::Client { who, act } => {
                for who in &who {
                    self.act(who, &act).await.with_context(|| who.name.to_owned())?;
                }
            }
        }
        Ok(1)
    }

    async fn act(&mut self, who: &Who<'_>, act: &Act<'_>) -> Result<()> {
        match act {
            Act::Connect { path, token } => self.connect(who, *path, *token).await,
            Act::Join { topic, config } => {
                if !self.cast.contains_key(who.name) {
                    self.connect(who, None, Token::Valid).await?;
                }
                let config =
                    config.map_or(Ok(json!({})), serde_json::from_str).context("config is not JSON")?;
                self.find(who)?.try_join(topic, &config).await
            }
            Act::Leave { topic } => self.find(who)?.try_leave(topic).await,
            Act::Say(Words::Text(text)) => {
                let text = self.with_tokens(text);
                self.find(who)?.send(Message::text(text)).await
            }
            Act::Say(Words::Binary(bytes)) => self.find(who)?.send(Message::binary(bytes.clone())).await,
            Act::Hear(words) => {
                self.hear_in_any_order(who, std::slice::from_ref(&Expected::new(words)?)).await
            }
            Act::HearInAnyOrder(_) => bail!("handled with its neighbours"),
            Act::Quiet => self.quiet(who).await,
            Act::Alive => {
                ensure!(self.find(who)?.try_settle().await?, "the connection is over");
                Ok(())
            }
            Act::Closed { code } => self.closed(who, *code).await,
            Act::Vanish => {
                self.cast.remove(who.name).context("has not connected")?;
                Ok(())
            }
        }
    }

    async fn connect(&mut self, who: &Who<'_>, path: Option<&str>, token: Token) -> Result<()> {
        let dialect = who.dialect.unwrap_or_default();
        let world =
            self.worlds.get(who.node.unwrap_or(1).wrapping_sub(1)).context("there is no such node")?;
        let client = world.connect_to(dialect, &world.target(path.unwrap_or(SOCKET), dialect, token)).await?;
        self.cast.insert(who.name.to_owned(), client);
        Ok(())
    }

    async fn post(&self, target: &str, body: &str, status: u16, answer: Option<&str>) -> Result<()> {
        let world = self.worlds[0];
        let token = world.token(Token::Valid);
        let request = Request::post(target).bearer(&token).header("content-type", "application/json");
        let response = world.send(request.body(body)).await;
        ensure!(
            response.status == status,
            "expected: {status}\n     got: {} {}",
            response.status,
            response.text()
        );
        if let Some(answer) = answer {
            let got: Value = serde_json::from_slice(&response.body).context("the answer is not JSON")?;
            ensure!(matches(&pattern(answer)?, &got), "expected: {answer}\n     got: {got}");
        }
        Ok(())
    }

    /// Nothing is in flight to this client once everybody else's words are known to be handled.
    async fn quiet(&mut self, who: &Who<'_>) -> Result<()> {
        for (name, other) in self.cast.iter_mut().filter(|(name, _)| *name != who.name) {
            // Somebody whose connection is over says nothing any more.
            other.try_settle().await.with_context(|| format!("{name} should have been able to finish"))?;
        }
        self.find(who)?.try_quiet().await
    }

    async fn closed(&mut self, who: &Who<'_>, code: Option<u16>) -> Result<()> {
        let got = self.find(who)?.receive().await?;
        let holds = match code {
            Some(code) => got == Frame::Closed(code),
            None => Client::is_over(&got),
        };
        ensure!(
            holds,
            "expected: closed {}\n     got: {got}",
            code.map_or("in any way".into(), |code| code.to_string())
        );
        self.cast.remove(who.name);
        Ok(())
    }

    async fn hear_in_any_order(&mut self, who: &Who<'_>, expected: &[Expected]) -> Result<()> {
        let client = self.find(who)?;
        let mut open: Vec<&Expected> = expected.iter().collect();
        while !open.is_empty() {
            let got = client.receive().await.with_context(|| format!("expected: {}", listed(&open)))?;
            match open.iter().position(|one| one.is(&got)) {
                Some(at) => drop(open.remove(at)),
                None => bail!("expected: {}\n     got: {got}", listed(&open)),
            }
        }
        Ok(())
    }

    fn find(&mut self, who: &Who<'_>) -> Result<&mut Client> {
        self.cast.get_mut(who.name).context("has not connected")
    }

    fn with_tokens(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, kind) in Token::ALL {
            let sign = format!("${name}");
            if text.contains(&sign) {
                text = text.replace(&sign, &self.worlds[0].token(kind));
            }
        }
        text
    }
}

/// A frame that must come.
#[derive(Debug)]
enum Expected {
    Json(Value),
    Binary(Vec<u8>),
}

impl Expected {
    fn new(words: &Words<'_>) -> Result<Expected> {
        Ok(match words {
            Words::Text(text) => Expected::Json(pattern(text)?),
            Words::Binary(bytes) => Expected::Binary(bytes.clone()),
        })
    }

    fn is(&self, frame: &Frame) -> bool {
        match (self, frame) {
            (Expected::Json(pattern), Frame::Json(value)) => matches(pattern, value),
            (Expected::Binary(bytes), Frame::Binary(got)) => bytes == got,
            _ => false,
        }
    }
}

fn listed(expected: &[&Expected]) -> String {
    let shown = |one: &&Expected| match one {
        Expected::Json(pattern) => pattern.to_string().replace("\"\\u0000any\"", "_"),
        Expected::Binary(bytes) => format!("binary {}", shown(bytes)),
    };
    expected.iter().map(shown).collect::<Vec<_>>().join("\n      or: ")
}

/// The lines of `<~` that follow each other for the same people.
fn same_group(lines: &[&str], who: &[Who<'_>], first: Words<'_>) -> Result<Vec<Expected>> {
    let mut group = vec![Expected::new(&first)?];
    for line in &lines[1..] {
        match parse(line)? {
            Some(Line::Client { who: next, act: Act::HearInAnyOrder(words) }) if next == who => {
                group.push(Expected::new(&words)?);
            }
            _ => break,
        }
    }
    Ok(group)
}

/// The script with a mark at the line that failed.
fn told(lines: &[&str], at: usize, error: &anyhow::Error) -> String {
    let mut out = String::from("the conversation went otherwise:\n\n");
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mark = if number == at { ">>>" } else { "   " };
        out.push_str(&format!("{mark} {}\n", line.trim()));
    }
    out.push_str(&format!("\n{error:#}\n"));
    out
}
