//! Hashes with ring.

fn digest(text: &str) -> String {
    let made = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    made.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() {
    println!("ring {}", digest("xx"));
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_empty_text_has_the_known_digest() {
        assert!(super::digest("").starts_with("e3b0c44298fc1c149afb"));
    }
}
