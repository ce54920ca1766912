#![no_main]

ailurus_fuzz::fuzz!("envelope_open");
