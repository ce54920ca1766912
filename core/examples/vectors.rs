//! Writes the known-answer vectors: `cargo run -p ailurus --example vectors -- docs/vectors`.

use std::{env, error::Error, fs, path::PathBuf};

#[path = "../tests/vectors_common/mod.rs"]
mod vectors_common;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err("name the directory to write to, such as docs/vectors".into());
    };
    fs::create_dir_all(&directory)?;
    for (name, text) in vectors_common::files() {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}
