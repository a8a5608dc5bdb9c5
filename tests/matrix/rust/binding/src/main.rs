//! Asks zlib for its version.
#![allow(non_camel_case_types, non_upper_case_globals, dead_code, unused)]

include!(concat!(env!("OUT_DIR"), "/zlib.rs"));

fn version() -> String {
    unsafe { std::ffi::CStr::from_ptr(zlibVersion() as *const _) }.to_string_lossy().into_owned()
}

fn main() {
    println!("zlib {} {}", version(), POINTER_BITS);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_headers_are_the_targets() {
        assert!(super::version().starts_with("1."));
        assert_eq!(super::POINTER_BITS as u32, usize::BITS);
    }
}
