#![allow(non_camel_case_types, non_upper_case_globals, dead_code)]
use std::io::Read;

include!(concat!(env!("OUT_DIR"), "/zlib.rs"));

fn main() {
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).unwrap();
    println!("{:08x}", unsafe { crc32(0, data.as_ptr(), data.len() as _) });
}
