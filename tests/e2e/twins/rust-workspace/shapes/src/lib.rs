use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rectangle {
    pub width: f64,
    pub height: f64,
}

extern "C" {
    fn area(width: f64, height: f64) -> f64;
}

impl Rectangle {
    pub fn area(&self) -> f64 {
        unsafe { area(self.width, self.height) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve() {
        assert_eq!(Rectangle { width: 3.0, height: 4.0 }.area(), 12.0);
    }
}
