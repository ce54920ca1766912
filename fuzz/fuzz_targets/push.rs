#![no_main]

ailurus_fuzz::fuzz!("push");
