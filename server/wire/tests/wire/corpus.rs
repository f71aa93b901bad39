//! Replays every file of the fuzzing corpus.

use std::fs;
use std::path::Path;

use crate::fuzz::TARGETS;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, check) in TARGETS {
        let files = fs::read_dir(corpus.join(name)).expect("each target has a corpus");
        let mut replayed = 0;
        for file in files {
            check(&fs::read(file.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has an empty corpus");
    }
}

#[test]
fn every_target_and_every_corpus_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for folder in ["corpus", "fuzz_targets"] {
        for entry in fs::read_dir(fuzz.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap();
            assert!(
                TARGETS.iter().any(|(target, _)| *target == name),
                "{path:?} is not in the list of targets"
            );
        }
    }
}
