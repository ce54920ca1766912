#![no_main]

ailurus_fuzz::fuzz!("qr_png");
