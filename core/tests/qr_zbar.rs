//! An outside reader, `zbarimg` of the ZBar project, reads what the encoder draws.

use std::process::Command;

use ailurus::channel::qr::QrCode;

mod qr_support;
use qr_support::{Light, Photo, base58, photograph, png};

/// Whether `zbarimg` is installed. Without it the check says what it needs; under `AILURUS_CI=1` it fails.
fn have_zbarimg() -> bool {
    if Command::new("zbarimg").arg("--version").output().is_ok() {
        return true;
    }
    let needed = "this check needs zbarimg: install the package zbar-tools";
    assert!(
        std::env::var_os("AILURUS_CI").is_none_or(|value| value != "1"),
        "{needed}"
    );
    eprintln!("skipped: {needed}");
    false
}

/// Asserts that `zbarimg` reads exactly `text` from the PNG.
fn assert_zbar_reads(png: &[u8], text: &str, what: &str) {
    let file = tempfile::Builder::new()
        .suffix(".png")
        .tempfile()
        .expect("a temporary file can be made");
    std::fs::write(file.path(), png).expect("the temporary file can be written");
    let output = Command::new("zbarimg")
        .args(["--raw", "-q"])
        .arg(file.path())
        .output()
        .expect("zbarimg runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{text}\n"),
        "{what}"
    );
}

#[test]
fn zbar_reads_what_is_drawn() {
    if !have_zbarimg() {
        return;
    }
    for chars in [1, 40, 120, 300, 451, 470] {
        let text = base58(chars, chars as u64);
        let code = QrCode::encode(&text).expect("a link fits");
        for scale in [3, 8] {
            let png = code.to_png(scale).expect("the code can be drawn");
            assert_zbar_reads(
                &png,
                &text,
                &format!("{chars} characters at {scale} pixels a module"),
            );
        }
    }
}

#[test]
fn zbar_reads_mild_photos_of_it() {
    if !have_zbarimg() {
        return;
    }
    let photos = [
        Photo {
            blur: 0.3,
            ..Photo::default()
        },
        Photo {
            degrees: 8.0,
            scale: 5.0,
            ..Photo::default()
        },
        Photo {
            light: Light::Gradient(0.6),
            noise: 5.0,
            ..Photo::default()
        },
    ];
    for (index, photo) in photos.into_iter().enumerate() {
        for chars in [120, 470] {
            let text = base58(chars, index as u64 + 1);
            let code = QrCode::encode(&text).expect("a link fits");
            let frame = photograph(&code, photo, 1);
            assert_zbar_reads(
                &png(&frame),
                &text,
                &format!("{chars} characters, {photo:?}"),
            );
        }
    }
}
