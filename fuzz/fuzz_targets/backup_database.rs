#![no_main]

ailurus_fuzz::fuzz!("backup_database");
