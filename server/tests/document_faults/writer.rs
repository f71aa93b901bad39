//! An editor that types at random places, deletes some of it, and notes what was acknowledged.

use harness::World;
use serde_json::json;
use yrs::{Any, Doc, GetString, Map, Out, ReadTxn, Text, Transact};

use crate::editor::Editor;

/// Numbers that look random, and are the same again for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound.max(1))).expect("it is below")
    }
}

/// A writer. Each of its changes has a number.
pub struct Writer {
    pub name: String,
    pub editor: Editor,
    random: Random,
    written: i64,
    /// The number up to which its changes are acknowledged.
    pub acknowledged: i64,
}

impl Writer {
    /// Connects with a document that has something already, or nothing.
    pub async fn open(world: &World, name: &str, doc: Doc, seed: u64) -> Writer {
        let editor = Editor::open_with(world, "room", doc, &json!({})).await;
        let written = number(editor.doc(), name);
        Writer { name: name.into(), editor, random: Random::new(seed), written, acknowledged: written }
    }

    /// Types until the connection ends.
    pub async fn type_on(mut self) -> Writer {
        loop {
            for _ in 0..=self.random.below(4) {
                self.change().await;
            }
            if !self.editor.is_confirmed().await {
                return self;
            }
            self.acknowledged = self.written;
        }
    }

    /// One change: text is inserted, sometimes some is deleted, and its number becomes the last one of this writer.
    async fn change(&mut self) {
        self.written += 1;
        let (name, written, random) = (self.name.clone(), self.written, &mut self.random);
        let text = self.editor.doc().get_or_insert_text("text");
        let numbers = self.editor.doc().get_or_insert_map("numbers");
        self.editor
            .change(|transaction| {
                let length = text.len(transaction);
                text.insert(transaction, random.below(length + 1), &format!("{name}{written} "));
                if random.below(3) == 0 {
                    text.remove_range(transaction, random.below(length), 2);
                }
                numbers.insert(transaction, name, written.to_string());
            })
            .await;
    }
}

/// The number of the last change of a writer that is in a document.
pub fn number(doc: &Doc, writer: &str) -> i64 {
    let numbers = doc.get_or_insert_map("numbers");
    match numbers.get(&doc.transact(), writer) {
        Some(Out::Any(Any::String(number))) => number.parse().expect("a number"),
        _none => 0,
    }
}

/// Whether two documents have the same content, the same changes and the same deletions.
pub fn are_equal(one: &Doc, other: &Doc) -> bool {
    let all = |doc: &Doc| {
        let text = doc.get_or_insert_text("text");
        let transaction = doc.transact();
        (text.get_string(&transaction), transaction.snapshot())
    };
    all(one) == all(other)
}
