//! Calls C and C++.

extern "C" {
    fn add(a: i32, b: i32) -> i32;
    fn mul(a: i32, b: i32) -> i32;
}

fn both() -> i32 {
    unsafe { mul(add(2, 3), 4) }
}

fn main() {
    println!("native {}", both());
}

#[cfg(test)]
mod tests {
    #[test]
    fn c_and_cxx_are_called() {
        assert_eq!(super::both(), 20);
    }
}
