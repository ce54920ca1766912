#![no_main]

ailurus_fuzz::fuzz!("node_link");
