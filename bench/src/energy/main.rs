//! `make energy`: what a day in the background costs a phone, in virtual time, beside what other programs do.

mod course;
mod peers;
mod picture;
mod radio;
mod table;
mod trace;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let recorded = runtime.block_on(wire::record()).unwrap();
    std::fs::write("bench/src/energy/wire/recorded.json", serde_json::to_string_pretty(&recorded).unwrap()).unwrap();
    ExitCode::SUCCESS
}
