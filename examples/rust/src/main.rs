//! Prints the CRC-32 of each file that is named, by the target's zlib.

use std::ffi::{c_char, c_uint, c_ulong, CStr};

#[link(name = "z")]
extern "C" {
    fn crc32(start: c_ulong, data: *const u8, length: c_uint) -> c_ulong;
    fn zlibVersion() -> *const c_char;
}

fn checksum(data: &[u8]) -> u32 {
    // zlib takes at most a c_uint of bytes at a time.
    data.chunks(1 << 30).fold(0, |sum, part| unsafe {
        crc32(sum as c_ulong, part.as_ptr(), part.len() as c_uint) as u32
    })
}

fn main() -> std::io::Result<()> {
    let files: Vec<_> = std::env::args().skip(1).collect();
    if files == ["--version"] {
        let zlib = unsafe { CStr::from_ptr(zlibVersion()) };
        println!("checksum 1.0 for {}, zlib {}", std::env::consts::ARCH, zlib.to_string_lossy());
        return Ok(());
    }
    for file in files {
        println!("{:08x}  {file}", checksum(&std::fs::read(&file)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_value() {
        assert_eq!(super::checksum(b"123456789"), 0xcbf4_3926);
    }
}
