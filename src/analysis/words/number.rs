//! Numbers, and numbers of things.

/// A number with its thousands set apart: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 flag`, `2 flags`.
pub fn count(number: usize, what: &str) -> String {
    let number_text = thousands(u64::try_from(number).unwrap_or(u64::MAX));
    let end = if number == 1 { "" } else { "s" };
    format!("{number_text} {what}{end}")
}
