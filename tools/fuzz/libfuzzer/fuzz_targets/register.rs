#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gds_fuzz::register(data));
