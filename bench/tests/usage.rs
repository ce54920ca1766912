//! The phone's ledger against what is counted from outside, for a minute and a half (`make usage-check` looks for ten).

use std::process::Command;

#[test]
fn the_ledger_agrees_with_what_is_seen_from_outside() {
    let check = Command::new(env!("CARGO_BIN_EXE_ailurus-usage-check"))
        .args(["--seconds", "90", "--faster", "80"])
        .output()
        .expect("it starts");
    let (told, errors) = (
        String::from_utf8_lossy(&check.stdout),
        String::from_utf8_lossy(&check.stderr),
    );
    println!("{told}{errors}");
    match check.status.code() {
        Some(0) => {}
        Some(NOT_HERE) => assert_ne!(
            std::env::var("AILURUS_CI").as_deref(),
            Ok("1"),
            "AILURUS_CI=1 and {told}"
        ),
        other => panic!("{other:?}: {told}{errors}"),
    }
}

/// As it tells that it was skipped.
const NOT_HERE: i32 = 77;
