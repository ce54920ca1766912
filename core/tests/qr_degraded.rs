//! The reader reads codes of 120 and 470 characters under the conditions of a phone camera.

use ailurus::channel::qr::{QrCode, QrError, read_luma};

mod qr_support;
use qr_support::{Light, Photo, base58, photograph};

/// Asserts that every photo of a short and of the longest link is read.
fn assert_read(photos: &[Photo]) {
    let mut failures = Vec::new();
    for (index, &photo) in photos.iter().enumerate() {
        for chars in [120, 470] {
            let text = base58(chars, index as u64 + 1);
            let code = QrCode::encode(&text).expect("a link fits");
            let frame = photograph(&code, photo, index as u64 + 7);
            let read = read_luma(frame.width, frame.height, &frame.luma);
            if read.as_deref() != Ok(&[text]) {
                failures.push(format!(
                    "{chars} characters, {photo:?}: {}",
                    if read.is_ok() { "wrong" } else { "not found" }
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} not read:\n{}",
        failures.len(),
        photos.len() * 2,
        failures.join("\n")
    );
}

#[test]
fn small_codes() {
    assert_read(&[2.0, 2.3, 2.5, 3.0, 3.7, 4.0].map(|scale| Photo {
        scale,
        ..Photo::default()
    }));
}

#[test]
fn turned_codes() {
    let degrees = [
        7.0, 17.0, 30.0, 45.0, 60.0, 90.0, 135.0, 180.0, 200.0, 270.0, 301.0, 359.0,
    ];
    assert_read(&degrees.map(|degrees| Photo {
        degrees,
        scale: 3.0,
        ..Photo::default()
    }));
    assert_read(&[17.0, 45.0].map(|degrees| Photo {
        degrees,
        scale: 2.2,
        ..Photo::default()
    }));
}

#[test]
fn codes_seen_aslant() {
    let tilts = [
        (0.1, 0.0),
        (0.0, -0.2),
        (0.3, 0.1),
        (-0.2, 0.25),
        (0.0, 0.4),
        (0.4, 0.2),
    ];
    assert_read(&tilts.map(|tilt| Photo {
        tilt,
        scale: 3.5,
        ..Photo::default()
    }));
    assert_read(&[20.0, 160.0].map(|degrees| Photo {
        tilt: (0.25, 0.0),
        degrees,
        ..Photo::default()
    }));
}

#[test]
fn blurred_codes() {
    assert_read(&[0.3, 0.45, 0.6, 0.65].map(|blur| Photo {
        blur,
        degrees: 20.0,
        noise: 2.0,
        ..Photo::default()
    }));
    assert_read(&[0.3, 0.5].map(|blur| Photo {
        blur,
        scale: 2.5,
        degrees: 10.0,
        ..Photo::default()
    }));
}

#[test]
fn unevenly_lit_codes() {
    let lights = [
        Light::Gradient(0.15),
        Light::Vignette(0.1),
        Light::Shadow(0.5),
        Light::Shadow(0.25),
    ];
    assert_read(&lights.map(|light| Photo {
        light,
        scale: 3.0,
        degrees: 12.0,
        ..Photo::default()
    }));
    assert_read(
        &[(100.0, 130.0), (10.0, 30.0), (200.0, 225.0)].map(|levels| Photo {
            levels,
            ..Photo::default()
        }),
    );
}

#[test]
fn noisy_codes() {
    assert_read(&[10.0, 25.0, 45.0].map(|noise| Photo {
        noise,
        ..Photo::default()
    }));
    assert_read(&[60.0].map(|noise| Photo {
        noise,
        scale: 7.0,
        ..Photo::default()
    }));
}

#[test]
fn everything_at_once() {
    let photo = Photo {
        scale: 3.2,
        degrees: 23.0,
        tilt: (0.15, -0.1),
        blur: 0.4,
        light: Light::Gradient(0.4),
        levels: (40.0, 200.0),
        noise: 6.0,
    };
    assert_read(&[
        photo,
        Photo {
            light: Light::Shadow(0.5),
            degrees: 111.0,
            ..photo
        },
        Photo {
            light: Light::Vignette(0.3),
            degrees: 45.0,
            scale: 2.6,
            ..photo
        },
        Photo {
            scale: 6.0,
            blur: 0.5,
            noise: 10.0,
            degrees: 287.0,
            ..photo
        },
    ]);
}

#[test]
fn light_on_dark_and_mirrored_codes() {
    assert_read(&[Photo {
        levels: (230.0, 30.0),
        degrees: 5.0,
        ..Photo::default()
    }]);
    let text = base58(470, 3);
    let mut frame = photograph(
        &QrCode::encode(&text).expect("a link fits"),
        Photo::default(),
        1,
    );
    frame
        .luma
        .chunks_exact_mut(frame.width)
        .for_each(<[u8]>::reverse);
    assert_eq!(
        read_luma(frame.width, frame.height, &frame.luma),
        Ok(vec![text])
    );
}

#[test]
fn two_codes_in_one_frame() {
    let texts = [base58(120, 1), base58(120, 2)];
    let frames = texts.clone().map(|text| {
        photograph(
            &QrCode::encode(&text).expect("a link fits"),
            Photo {
                scale: 3.0,
                degrees: 4.0,
                ..Photo::default()
            },
            1,
        )
    });
    let luma: Vec<u8> = frames
        .iter()
        .flat_map(|frame| frame.luma.iter().copied())
        .collect();
    let mut read = read_luma(frames[0].width, frames[0].height * 2, &luma).expect("both are read");
    read.sort_by_key(|text| *text != texts[0]);
    assert_eq!(read, texts);
}

#[test]
fn a_frame_without_a_code_is_an_error() {
    let blank = photograph(
        &QrCode::encode("1").expect("fits"),
        Photo {
            levels: (128.0, 128.0),
            noise: 30.0,
            scale: 12.0,
            ..Photo::default()
        },
        5,
    );
    assert_eq!(
        read_luma(blank.width, blank.height, &blank.luma),
        Err(QrError::NothingFound)
    );
}
