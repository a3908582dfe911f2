//! Fuzz targets of every reader of foreign bytes. `cargo +nightly fuzz run NAME` in this folder runs one; the README says how.

mod readers;

/// Reads an input with the bounds of memory and time.
pub fn check(name: &str, input: &[u8]) {
    readers::reader(name).check_time(input);
}
