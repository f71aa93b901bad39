//! Updates of Yjs clients as yrs applies them.

use wire::lib0::Lib0Write;
use wire::yjs::TYPE_DEPTH_MAX;
use yrs::{GetString, Text};

use super::*;

/// Bytes that may wait.
const MAX: usize = 1_000;

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

    /// Inserts text at the end. Returns the update.
    fn append(&self, text: &str) -> Vec<u8> {
        let field = self.0.get_or_insert_text("text");
        let mut transaction = self.0.transact_mut();
        field.push(&mut transaction, text);
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
    let Applied::Update(merged) = content.apply(updates(&changes), MAX).expect("they are updates") else {
        panic!("they are news");
    };
    let copy = DocumentContent::load([&*merged]).expect("an update");
    assert_eq!((text(&copy), copy.state_vector()), (text(&content), content.state_vector()));
    assert_eq!(content.apply(updates(&changes), MAX), Ok(Applied::Nothing), "the second time they are known");
}

#[test]
fn what_waits_for_another_update_is_passed_on_and_stored_until_that_comes() {
    let editor = Editor::new(1);
    let (first, second, third) = (editor.insert("a"), editor.insert("b"), editor.insert("c"));
    let mut content = DocumentContent::empty();
    assert_eq!(content.apply([&*third], MAX), Ok(Applied::Update(third.clone())));
    assert_eq!(text(&content), "");
    let stored = content.encoded();
    let mut loaded = DocumentContent::load([&*stored]).expect("an update");
    let missing = loaded.missing_from(&[0]).expect("an empty state vector");
    assert!(decoded(&missing).structs() > 0, "a member that comes later is sent it, too");
    let applied = loaded.apply([&*second, &*first], MAX).expect("updates");
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
    content.apply([&*update], MAX).expect("an update");
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
    content.apply([&*insertion], MAX).expect("an update");
    assert!(content.contains(&decoded(&insertion)) && !content.contains(&decoded(&deletion)));
    content.apply([&*deletion], MAX).expect("an update");
    assert!(content.contains(&decoded(&deletion)));
    assert!(content.contains(&decoded(&content.encoded())), "what a client answers that has it all");
}

#[test]
fn what_is_no_update_is_refused() {
    let mut content = DocumentContent::empty();
    assert_eq!(content.apply([&[1, 2, 3][..]], MAX), Err(Inapplicable::Contradictory));
    assert_eq!(content.missing_from(&[9]), Err(Inapplicable::Contradictory));
}

/// An update of client 1: shared types from clock `from` to `to`, each in the one before, the first in the root `t`. With `deleted`, the
/// first one is deleted.
pub(in crate::documents) fn nested(from: u32, to: u32, deleted: bool) -> Vec<u8> {
    let mut update = vec![1];
    update.var_uint((to - from).into());
    update.push(1);
    update.var_uint(from.into());
    for clock in from..to {
        match clock.checked_sub(1) {
            None => update.extend([7, 1, 1, b't', 0]),
            Some(parent) => {
                update.extend([7, 0, 1]);
                update.var_uint(parent.into());
                update.push(0);
            }
        }
    }
    update.extend_from_slice(if deleted { &[1, 1, 1, 0, 1] } else { &[0] });
    update
}

#[test]
fn shared_types_are_nested_up_to_a_limit_which_the_stack_can_delete() {
    let max = TYPE_DEPTH_MAX as u32;
    let mut content = DocumentContent::empty();
    content.apply([&*nested(0, max, true)], MAX).expect("as deep as permitted");
    assert!(decoded(&content.encoded()).deleted_ranges() > 0);
    for depth in [max + 1, 20_000] {
        assert_eq!(
            DocumentContent::empty().apply([&*nested(0, depth, true)], MAX),
            Err(Inapplicable::Nested),
            "{depth} levels"
        );
        assert!(
            DocumentContent::load([&*nested(0, depth, false)]).is_err(),
            "what others wrote into the tables"
        );
    }
}

#[test]
fn a_document_that_two_nodes_have_nested_too_deeply_leaves_out_what_is_too_deep() {
    let (text, half) = (Editor::new(5_000).insert("a"), TYPE_DEPTH_MAX as u32 / 2 + 1);
    let (upper, lower) = (nested(0, half, false), nested(half, 2 * half, false));
    let all = [&*text, &*lower, &*upper, &*Editor::new(5_001).insert("b")];
    let content = DocumentContent::load(all).expect("the rest can be read");
    assert_eq!((super::tests::text(&content).len(), content.left_out()), (2, 1));
}

#[test]
fn shared_types_of_many_updates_are_nested_up_to_the_same_limit() {
    let max = TYPE_DEPTH_MAX as u32;
    let mut content = DocumentContent::empty();
    for clock in 0..max {
        content.apply([&*nested(clock, clock + 1, false)], MAX).expect("not too deep");
    }
    let all = content.encoded();
    assert_eq!(content.apply([&*nested(max, max + 1, false)], MAX), Err(Inapplicable::Nested));
    let mut again = DocumentContent::load([&*all]).expect("what was accepted can be loaded");
    again.apply([&[0, 1, 1, 1, 0, 1][..]], MAX).expect("and deleted");
}

#[test]
fn shared_types_that_wait_for_others_are_measured_with_them() {
    let max = TYPE_DEPTH_MAX as u32;
    let mut content = DocumentContent::empty();
    // Each waits for the next one.
    for clock in (1..=max).rev() {
        content.apply([&*nested(clock, clock + 1, false)], usize::MAX).expect("not too deep");
    }
    let last = nested(0, 1, true);
    assert_eq!(content.apply([&*last], usize::MAX), Err(Inapplicable::Nested));
}

#[test]
fn a_document_has_any_number_of_shared_types_beside_each_other() {
    let mut content = DocumentContent::empty();
    let beside = |clock: u32, count: u32| {
        let mut update = vec![1];
        update.var_uint(count.into());
        update.push(1);
        update.var_uint(clock.into());
        update.extend([7, 1, 1, b't', 0].repeat(count as usize));
        update.push(0);
        update
    };
    content.apply([&*beside(0, 5_000)], MAX).expect("a long text that is pasted");
    for clock in 5_000..6_000 {
        content.apply([&*beside(clock, 1)], MAX).expect("a new paragraph");
    }
    DocumentContent::load([&*content.encoded()]).expect("it can be loaded");
}

#[test]
fn a_bounded_number_of_bytes_waits_for_other_updates() {
    let mut content = DocumentContent::empty();
    // An item after one of another client that never comes.
    let waits = |client: u64| {
        let mut update = vec![1, 1];
        update.var_uint(client);
        update.extend([0, 0x84, 1, 0, 20]);
        update.extend([b'x'; 20]);
        update.push(0);
        update
    };
    let refused =
        (2..1_000).find(|&client| content.apply([&*waits(client)], MAX).is_err()).expect("one is refused");
    assert!((20..60).contains(&refused), "of client {refused}");
    let mut content =
        DocumentContent::load((2..refused).map(waits).collect::<Vec<_>>().iter().map(|it| &**it))
            .expect("what was accepted can be loaded");
    let again = (refused..refused + 5).find_map(|client| content.apply([&*waits(client)], MAX).err());
    assert_eq!(again, Some(Inapplicable::Waiting));
    let editor = Editor::new(5_000);
    let mut content = DocumentContent::load([&*content.encoded()]).expect("an update");
    content.apply([&*editor.insert("a")], MAX).expect("others go on");
    assert_eq!(text(&content), "a");
}

#[test]
fn the_memory_of_a_document_counts_its_structs() {
    let mut content = DocumentContent::empty();
    let mut update = vec![1];
    update.var_uint(100_000);
    update.extend([1, 0]);
    update.extend([6, 1, 1, b't', 1, b'b', 1, b'1'].repeat(100_000));
    update.push(0);
    content.apply([&*update], MAX).expect("an update");
    assert!(content.memory() > 20 * update.len(), "{} bytes", content.memory());
    let (typed, editor) = (&mut DocumentContent::empty(), Editor::new(1));
    for _ in 0..10_000 {
        typed.apply([&*editor.append("x")], MAX).expect("an update");
    }
    assert!(typed.memory() < 3 << 20, "{} bytes: characters join each other", typed.memory());
}
