fn main() {
    println!("cargo:rustc-link-lib=z");
    let made = bindgen::Builder::default().header("wrapper.h").allowlist_function("crc32").generate().unwrap();
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    made.write_to_file(out.join("zlib.rs")).unwrap();
}
