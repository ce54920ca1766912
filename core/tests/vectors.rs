//! The committed vectors: compared byte for byte with what the generator makes now, and replayed with the primitives
//! of other crates, so that a wrong generator shows.

use std::fs;

mod replay;
mod vectors_common;

use replay::{directory, read};

#[test]
fn committed_files_are_what_the_generator_makes() {
    let files = vectors_common::files();
    for (name, text) in &files {
        let committed = read(name);
        assert_eq!(
            &committed, text,
            "docs/vectors/{name} is stale: run `make vectors` and say why it changed"
        );
    }
    let mut committed: Vec<_> = fs::read_dir(directory())
        .expect("docs/vectors")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("plain name")
        })
        .filter(|name| name.ends_with(".json"))
        .collect();
    committed.sort();
    let mut made: Vec<_> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    made.sort();
    assert_eq!(
        committed, made,
        "docs/vectors holds other files than the generator makes"
    );
}
