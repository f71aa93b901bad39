//! An editor: a Yjs document that is synchronised over a WebSocket of the y-websocket protocol.

use harness::{Client, Dialect, Frame, World};
use serde_json::{Value, json};
use wire::y_websocket::{YWebsocketMessage, messages};
use wire::yjs::{AwarenessEntry, AwarenessUpdate, SyncMessage};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, TransactionMut, Update};

/// A document and its connection.
pub struct Editor {
    client: Client,
    doc: Doc,
    /// The awareness that others show, by client id.
    pub states: Vec<(u64, Option<Value>)>,
}

/// A token of a user of the Realtime SDK.
pub fn token(world: &World, claims: &Value) -> String {
    let mut all = json!({"sub": "ann", "exp": 4_000_000_000_u64});
    all.as_object_mut().expect("an object").extend(claims.as_object().expect("an object").clone());
    world.sign(&all)
}

impl Editor {
    /// Connects to `/yjs/<name>` and has everything that is there.
    pub async fn open(world: &World, name: &str) -> Editor {
        Editor::open_with(world, name, Doc::new(), &json!({})).await
    }

    /// Connects with a document that has something already.
    pub async fn open_with(world: &World, name: &str, doc: Doc, claims: &Value) -> Editor {
        Editor::open_at(world, &format!("/yjs/{name}?token={}", token(world, claims)), doc).await
    }

    /// Connects to an address with a document that has something already.
    pub async fn open_at(world: &World, target: &str, doc: Doc) -> Editor {
        let opened = Editor::try_open_at(world, target, doc).await;
        opened.expect("the connection goes on")
    }

    /// The same, or nothing if the server ends the connection.
    pub async fn try_open_at(world: &World, target: &str, doc: Doc) -> Option<Editor> {
        let client = world.connect_to(Dialect::V2, target).await.expect("the handshake succeeds");
        let mut editor = Editor { client, doc, states: Vec::new() };
        editor.ask().await;
        loop {
            let Frame::Binary(frame) = editor.client.next().await else { return None };
            if editor.handle(&frame).await {
                return Some(editor);
            }
        }
    }

    /// Asks for what it lacks.
    async fn ask(&mut self) {
        let state_vector = self.doc.transact().state_vector().encode_v1();
        self.send(YWebsocketMessage::Sync(SyncMessage::Step1(&state_vector))).await;
    }

    /// The text.
    pub fn text(&self) -> String {
        self.doc.get_or_insert_text("text").get_string(&self.doc.transact())
    }

    /// Inserts text at the beginning. Returns what was sent.
    pub async fn insert(&mut self, text: &str) -> Vec<u8> {
        let update = self.inserted(text);
        self.send(YWebsocketMessage::Sync(SyncMessage::Update(&update))).await;
        update
    }

    /// Inserts text at the beginning, and sends nothing. Returns the update.
    pub fn inserted(&self, text: &str) -> Vec<u8> {
        let field = self.doc.get_or_insert_text("text");
        let mut transaction = self.doc.transact_mut();
        field.insert(&mut transaction, 0, text);
        transaction.encode_update_v1()
    }

    /// Deletes so many bytes at the beginning.
    pub async fn remove(&mut self, length: u32) {
        let field = self.doc.get_or_insert_text("text");
        self.change(|transaction| field.remove_range(transaction, 0, length)).await;
    }

    /// Changes the document.
    pub async fn change(&mut self, change: impl FnOnce(&mut TransactionMut<'_>)) {
        let update = {
            let mut transaction = self.doc.transact_mut();
            change(&mut transaction);
            transaction.encode_update_v1()
        };
        self.send(YWebsocketMessage::Sync(SyncMessage::Update(&update))).await;
    }

    /// The document.
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// All that it has, as one update.
    pub fn everything(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Reads until the text contains this.
    pub async fn until_it_contains(&mut self, text: &str) {
        while !self.text().contains(text) {
            self.receive().await;
        }
    }

    /// Reads until the text is this.
    pub async fn until(&mut self, text: &str) {
        while self.text() != text {
            self.receive().await;
        }
    }

    /// Reads until the text has so many bytes at least.
    pub async fn until_length(&mut self, length: usize) {
        while self.text().len() < length {
            self.receive().await;
        }
    }

    /// Shows `state` for a client id.
    pub async fn show(&mut self, client: u64, clock: u32, state: &str) {
        let update = AwarenessUpdate::encode([AwarenessEntry { client, clock, state }]);
        self.send(YWebsocketMessage::Awareness(&update)).await;
    }

    /// Reads until another client shows something, or nothing any more.
    pub async fn next_state(&mut self) -> (u64, Option<Value>) {
        loop {
            if !self.states.is_empty() {
                return self.states.remove(0);
            }
            self.receive().await;
        }
    }

    /// Sends a message whose payload comes back when everything before it is stored.
    pub async fn confirmed(&mut self) {
        assert!(self.is_confirmed().await, "the connection has ended");
    }

    /// The same. Returns whether it came back before the connection has ended.
    pub async fn is_confirmed(&mut self) -> bool {
        self.ask_whether_saved().await;
        self.is_saved().await
    }

    /// Sends that message, and does not wait.
    pub async fn ask_whether_saved(&mut self) {
        self.send(YWebsocketMessage::SyncStatus(b"saved?")).await;
    }

    /// Whether that message comes back before what the server answers although nothing is stored.
    pub async fn is_saved_at_once(&mut self) -> bool {
        self.ask().await;
        loop {
            let frame = self.next().await;
            if frame.ends_with(b"saved?") {
                return true;
            }
            if self.handle(&frame).await {
                return false;
            }
        }
    }

    /// Reads until that message comes back. Returns whether it did before the connection has ended.
    pub async fn is_saved(&mut self) -> bool {
        loop {
            match self.client.next().await {
                Frame::Binary(frame) if frame.ends_with(b"saved?") => return true,
                Frame::Binary(frame) => _ = self.handle(&frame).await,
                _ended => return false,
            }
        }
    }

    /// Reads until the server closes the connection. Returns the code.
    pub async fn closed(mut self) -> u16 {
        loop {
            match self.client.next().await {
                Frame::Binary(frame) => {
                    self.handle(&frame).await;
                }
                Frame::Closed(code) => return code,
                other => panic!("expected the end, got {other}"),
            }
        }
    }

    /// The document, without its connection.
    pub fn into_doc(self) -> Doc {
        self.doc
    }

    /// Sends a message.
    pub async fn send(&mut self, message: YWebsocketMessage<'_>) {
        let frame = message.encode();
        // That of a frame with up to 125 bytes, up to 65,535, or more.
        let header = match frame.len() {
            ..128 => 2,
            128..65_540 => 4,
            _ => 10,
        };
        self.client.try_send_binary(frame.bytes()[header..].to_vec()).await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.client.send_binary(bytes.to_vec()).await;
    }

    async fn next(&mut self) -> Vec<u8> {
        match self.client.next().await {
            Frame::Binary(frame) => frame,
            other => panic!("expected a binary frame, got {other}"),
        }
    }

    /// Handles the next frame. Returns whether it answers the first question of the client.
    async fn receive(&mut self) -> bool {
        let frame = self.next().await;
        self.handle(&frame).await
    }

    async fn handle(&mut self, frame: &[u8]) -> bool {
        let mut is_answer = false;
        for message in messages(frame) {
            match message.expect("the server sends what can be read") {
                YWebsocketMessage::Sync(SyncMessage::Step1(state_vector)) => {
                    let state_vector = StateVector::decode_v1(state_vector).expect("a state vector");
                    let update = self.doc.transact().encode_state_as_update_v1(&state_vector);
                    self.send(YWebsocketMessage::Sync(SyncMessage::Step2(&update))).await;
                }
                YWebsocketMessage::Sync(SyncMessage::Step2(update)) => {
                    self.apply(update);
                    is_answer = true;
                }
                YWebsocketMessage::Sync(SyncMessage::Update(update)) => self.apply(update),
                YWebsocketMessage::Awareness(update) => {
                    let update = AwarenessUpdate::decode(update).expect("states");
                    let states = update.entries().map(|entry| {
                        let state = serde_json::from_str(entry.state).expect("JSON");
                        (entry.client, if entry.is_removal() { None } else { Some(state) })
                    });
                    self.states.extend(states);
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        is_answer
    }

    fn apply(&mut self, update: &[u8]) {
        let update = Update::decode_v1(update).expect("an update");
        self.doc.transact_mut().apply_update(update).expect("it is applied");
    }
}
