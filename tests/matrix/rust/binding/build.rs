//! Has libclang read the target's own headers.

fn main() {
    let made = bindgen::Builder::default()
        .header("src/wrapper.h")
        .allowlist_function("zlibVersion|crc32")
        .allowlist_var("POINTER_BITS")
        .generate()
        .unwrap();
    made.write_to_file(std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("zlib.rs")).unwrap();
    println!("cargo::rustc-link-lib=z");
}
