//! Fuzzing of Ailurus: `make fuzz TARGET=link SECONDS=60`, which needs nightly Rust and cargo-fuzz.
//!
//! What the targets do stands in [`targets`]. `node/tests/fuzz_corpus.rs` runs the same bodies over the seeds and
//! random bytes with stable Rust, so every `make test` covers them.

pub mod targets;

use std::{env, fs, path::Path};

use targets::Target;

pub use libfuzzer_sys;

/// Makes a target. Where `AILURUS_FUZZ_SEEDS` names a folder, writes the seeds there first.
pub fn start(name: &str) -> Target {
    let target = targets::target(name);
    if let Some(folder) = env::var_os("AILURUS_FUZZ_SEEDS") {
        let folder = Path::new(&folder);
        fs::create_dir_all(folder).expect("the folder of AILURUS_FUZZ_SEEDS");
        for (number, seed) in target.seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed).expect("a seed");
        }
    }
    target
}

/// The whole of a fuzz target: the body of this name, made once, run over whatever libFuzzer comes up with.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        ::std::thread_local! {
            static TARGET: $crate::targets::Target = $crate::start($name);
        }
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            TARGET.with(|target| (target.body)(data));
        });
    };
}
