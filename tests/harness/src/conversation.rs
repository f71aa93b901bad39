//! Runs a script: keeps its clients by name, executes its lines, and reports the line that fails.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Frame, hex_dump};
use crate::expect::{matches, pattern};
use crate::http::Request;
use crate::script::{Action, Actor, FrameText, Step, parse};
use crate::tokens::Token;
use crate::world::{SOCKET, World};

/// The clients of a conversation and the servers they connect to; may run several scripts.
#[derive(Debug)]
pub struct Conversation<'w> {
    worlds: Vec<&'w World>,
    clients: BTreeMap<String, Client>,
}

impl World {
    /// A conversation with this server, for several scripts, or for scripts and code in turn.
    pub fn conversation(&self) -> Conversation<'_> {
        Conversation::among([self])
    }

    /// Runs a script with clients of its own.
    ///
    /// # Panics
    /// When a line of it fails.
    pub async fn check(&self, script: &str) {
        self.conversation().check(script).await;
    }
}

impl<'w> Conversation<'w> {
    /// A conversation without clients yet. Clients connect to the first of these servers unless a line names another.
    pub fn among(worlds: impl IntoIterator<Item = &'w World>) -> Conversation<'w> {
        Conversation { worlds: worlds.into_iter().collect(), clients: BTreeMap::new() }
    }

    /// The client that a script has connected under this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn client(&mut self, name: &str) -> &mut Client {
        self.clients.get_mut(name).unwrap_or_else(|| panic!("{name} has not connected"))
    }

    /// Runs a script with the clients that earlier scripts have connected.
    ///
    /// # Panics
    /// When a line fails.
    pub async fn check(&mut self, script: &str) {
        let lines: Vec<&str> = script.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            match self.step(&lines[at..]).await {
                Ok(taken) => at += taken,
                Err(error) => panic!("{}", failure(&lines, at, &error)),
            }
        }
    }

    /// Runs the first line, or the first group of `<~` lines. Returns how many lines it has run.
    async fn step(&mut self, lines: &[&str]) -> Result<usize> {
        let Some(line) = parse(lines[0])? else { return Ok(1) };
        match line {
            Step::ServerStops => self.worlds[0].stop_server().await,
            Step::Post { target, body, status, answer } => self.post(target, body, status, answer).await?,
            Step::Client { who, act: Action::ReceiveInAnyOrder(first) } => {
                let group = same_group(lines, &who, first)?;
                let taken = group.len();
                for who in &who {
                    self.receive_in_any_order(who, &group).await.with_context(|| who.name.to_owned())?;
                }
                return Ok(taken);
            }
            Step::Client { who, act } => {
                for who in &who {
                    self.act(who, &act).await.with_context(|| who.name.to_owned())?;
                }
            }
        }
        Ok(1)
    }

    async fn act(&mut self, who: &Actor<'_>, act: &Action<'_>) -> Result<()> {
        match act {
            Action::Connect { path, token } => self.connect(who, *path, *token).await,
            Action::Join { topic, config } => {
                if !self.clients.contains_key(who.name) {
                    self.connect(who, None, Token::Valid).await?;
                }
                let config =
                    config.map_or(Ok(json!({})), serde_json::from_str).context("config is not JSON")?;
                self.find(who)?.try_join(topic, &config).await
            }
            Action::Leave { topic } => self.find(who)?.try_leave(topic).await,
            Action::Send(FrameText::Text(text)) => {
                let text = self.with_tokens(text);
                self.find(who)?.send(Message::text(text)).await
            }
            Action::Send(FrameText::Binary(bytes)) => {
                self.find(who)?.send(Message::binary(bytes.clone())).await
            }
            Action::Receive(words) => {
                self.receive_in_any_order(who, std::slice::from_ref(&Expected::new(words)?)).await
            }
            Action::ReceiveInAnyOrder(_) => bail!("runs with the lines of its group"),
            Action::Quiet => self.quiet(who).await,
            Action::Alive => {
                ensure!(self.find(who)?.try_settle().await?, "the connection is over");
                Ok(())
            }
            Action::Closed { code } => self.closed(who, *code).await,
            Action::Vanish => {
                self.clients.remove(who.name).context("has not connected")?;
                Ok(())
            }
        }
    }

    async fn connect(&mut self, who: &Actor<'_>, path: Option<&str>, token: Token) -> Result<()> {
        let dialect = who.dialect.unwrap_or_default();
        let world =
            self.worlds.get(who.node.unwrap_or(1).wrapping_sub(1)).context("there is no such node")?;
        let client = world.connect_to(dialect, &world.target(path.unwrap_or(SOCKET), dialect, token)).await?;
        self.clients.insert(who.name.to_owned(), client);
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

    /// No frame is on its way to this client once the server has handled every frame of the other clients.
    async fn quiet(&mut self, who: &Actor<'_>) -> Result<()> {
        for (name, other) in self.clients.iter_mut().filter(|(name, _)| *name != who.name) {
            // A client whose connection is over has sent nothing that could still be in progress.
            other.try_settle().await.with_context(|| format!("the server handles the frames of {name}"))?;
        }
        self.find(who)?.try_quiet().await
    }

    async fn closed(&mut self, who: &Actor<'_>, code: Option<u16>) -> Result<()> {
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
        self.clients.remove(who.name);
        Ok(())
    }

    async fn receive_in_any_order(&mut self, who: &Actor<'_>, expected: &[Expected]) -> Result<()> {
        let client = self.find(who)?;
        let mut open: Vec<&Expected> = expected.iter().collect();
        while !open.is_empty() {
            let got = client.receive().await.with_context(|| format!("expected: {}", alternatives(&open)))?;
            match open.iter().position(|one| one.matches(&got)) {
                Some(at) => drop(open.remove(at)),
                None => bail!("expected: {}\n     got: {got}", alternatives(&open)),
            }
        }
        Ok(())
    }

    fn find(&mut self, who: &Actor<'_>) -> Result<&mut Client> {
        self.clients.get_mut(who.name).context("has not connected")
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

/// An expected frame.
#[derive(Debug)]
enum Expected {
    Json(Value),
    Binary(Vec<u8>),
}

impl Expected {
    fn new(words: &FrameText<'_>) -> Result<Expected> {
        Ok(match words {
            FrameText::Text(text) => Expected::Json(pattern(text)?),
            FrameText::Binary(bytes) => Expected::Binary(bytes.clone()),
        })
    }

    fn matches(&self, frame: &Frame) -> bool {
        match (self, frame) {
            (Expected::Json(pattern), Frame::Json(value)) => matches(pattern, value),
            (Expected::Binary(bytes), Frame::Binary(got)) => bytes == got,
            _ => false,
        }
    }
}

fn alternatives(expected: &[&Expected]) -> String {
    let describe = |one: &&Expected| match one {
        Expected::Json(pattern) => pattern.to_string().replace("\"\\u0000any\"", "_"),
        Expected::Binary(bytes) => format!("binary {}", hex_dump(bytes)),
    };
    expected.iter().map(describe).collect::<Vec<_>>().join("\n      or: ")
}

/// The consecutive `<~` lines of the same clients.
fn same_group(lines: &[&str], who: &[Actor<'_>], first: FrameText<'_>) -> Result<Vec<Expected>> {
    let mut group = vec![Expected::new(&first)?];
    for line in &lines[1..] {
        match parse(line)? {
            Some(Step::Client { who: next, act: Action::ReceiveInAnyOrder(words) }) if next == who => {
                group.push(Expected::new(&words)?);
            }
            _ => break,
        }
    }
    Ok(group)
}

/// The script with a mark at the line that failed, and the error.
fn failure(lines: &[&str], at: usize, error: &anyhow::Error) -> String {
    let mut out = String::from("the conversation fails at the marked line:\n\n");
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mark = if number == at { ">>>" } else { "   " };
        out.push_str(&format!("{mark} {}\n", line.trim()));
    }
    out.push_str(&format!("\n{error:#}\n"));
    out
}
