fn main() {
    let text = std::env::args().nth(1).expect("a rectangle as JSON");
    let shape: shapes::Rectangle = serde_json::from_str(&text).expect("a rectangle");
    println!("{} has {} on {}", serde_json::to_string(&shape).unwrap(), shape.area(), std::env::consts::ARCH);
}
