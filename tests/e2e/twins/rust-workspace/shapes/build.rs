fn main() {
    println!("cargo:rerun-if-changed=area.c");
    cc::Build::new().file("area.c").compile("area");
}
