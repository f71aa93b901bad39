//! Updates of Yjs clients as yrs applies them.

use yrs::{GetString, Text};

use super::*;

/// An editor with a document of its own.
struct Editor(Doc);

impl Editor {
    fn new(client: u64) -> Self {
        Self(Doc::with_client_id(client))
    }

    /// Inserts text at the beginning. Returns the update.
    fn insert(&self, text: &str) -> Vec<u8> {
        let field = self.0.get_or_insert_text("text");
        let mut transaction = self.0.transact_mut();
        field.insert(&mut transaction, 0, text);
        transaction.encode_update_v1()
    }

    /// Deletes the first character. Returns the update.
    fn delete(&self) -> Vec<u8> {
        let field = self.0.get_or_insert_text("text");
        let mut transaction = self.0.transact_mut();
        field.remove_range(&mut transaction, 0, 1);
        transaction.encode_update_v1()
    }
}

fn text(content: &DocumentContent) -> String {
    let field = content.doc.get_or_insert_text("text");
    field.get_string(&content.doc.transact())
}

fn decoded(update: &[u8]) -> DocumentUpdate<'_> {
    DocumentUpdate::decode(update).expect("yrs has written it")
}

fn updates(of: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    of.iter().map(Vec::as_slice)
}

#[test]
fn several_updates_become_one_that_contains_them_all() {
    let (one, other) = (Editor::new(1), Editor::new(2));
    let changes = [one.insert("a"), one.insert("b"), other.insert("c"), one.delete()];
    let mut content = DocumentContent::empty();
    let Applied::Update(merged) = content.apply(updates(&changes)).expect("they are updates") else {
        panic!("they are news");
    };
    let copy = DocumentContent::load([&*merged]).expect("an update");
    assert_eq!((text(&copy), copy.state_vector()), (text(&content), content.state_vector()));
    assert_eq!(content.apply(updates(&changes)), Ok(Applied::Nothing), "the second time they are known");
}

#[test]
fn what_waits_for_another_update_is_passed_on_and_stored_until_that_comes() {
    let editor = Editor::new(1);
    let (first, second, third) = (editor.insert("a"), editor.insert("b"), editor.insert("c"));
    let mut content = DocumentContent::empty();
    assert_eq!(content.apply([&*third]), Ok(Applied::Update(third.clone())));
    assert_eq!(text(&content), "");
    let stored = content.encoded();
    let mut loaded = DocumentContent::load([&*stored]).expect("an update");
    let missing = loaded.missing_from(&[0]).expect("an empty state vector");
    assert!(decoded(&missing).structs() > 0, "a member that comes later is sent it, too");
    let applied = loaded.apply([&*second, &*first]).expect("updates");
    assert_eq!(text(&loaded), "cba");
    let Applied::Update(merged) = applied else { panic!("they are news") };
    let copy = DocumentContent::load([&*third, &*merged]).expect("updates");
    assert_eq!(text(&copy), "cba");
}

#[test]
fn one_who_has_all_but_an_update_lacks_just_that() {
    let (one, other) = (Editor::new(1), Editor::new(2));
    let (before, of_other) = (one.insert("a"), other.insert("x"));
    let mut content = DocumentContent::load([&*before, &*of_other]).expect("updates");
    let had = content.state_vector();
    let update = one.insert("b");
    content.apply([&*update]).expect("an update");
    let state_vector = content.state_vector_without(&decoded(&update));
    assert_eq!(content.missing_from(&state_vector), content.missing_from(&had));
}

#[test]
fn an_update_is_contained_once_its_insertions_and_deletions_are_there() {
    let editor = Editor::new(1);
    let (insertion, deletion) = (editor.insert("ab"), editor.delete());
    let mut content = DocumentContent::empty();
    assert!(content.contains(&decoded(&[0, 0])));
    assert!(!content.contains(&decoded(&insertion)));
    content.apply([&*insertion]).expect("an update");
    assert!(content.contains(&decoded(&insertion)) && !content.contains(&decoded(&deletion)));
    content.apply([&*deletion]).expect("an update");
    assert!(content.contains(&decoded(&deletion)));
    assert!(content.contains(&decoded(&content.encoded())), "what a client answers that has it all");
}

#[test]
fn what_is_no_update_is_refused() {
    let mut content = DocumentContent::empty();
    assert_eq!(content.apply([&[1, 2, 3][..]]), Err(Inapplicable));
    assert_eq!(content.missing_from(&[9]), Err(Inapplicable));
}
