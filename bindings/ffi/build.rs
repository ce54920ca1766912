//! How the library for phones is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let small = env::var("OPT_LEVEL").is_ok_and(|level| level == "s");

    if os == "android" {
        // Phones with memory pages of 16 KB refuse anything less.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
    }
    // What only lld can do, which is Rust's linker here and the NDK's: functions that came out the same are kept once,
    // and relocations are packed (the one form needs Android 6, the other glibc 2.36).
    if small && os == "android" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-O2,--icf=all,--pack-dyn-relocs=android");
    }
    if small && os == "linux" && arch == "x86_64" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-O2,--icf=all,-z,pack-relative-relocs");
    }
}
