use std::io::Read;

fn main() {
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).unwrap();
    for byte in openssl::sha::sha256(&data) {
        print!("{byte:02x}");
    }
    println!(" by {}", openssl::version::version());
}
