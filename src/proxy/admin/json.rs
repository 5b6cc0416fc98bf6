//! Writes JSON: commas where they are needed, and text that cannot break out of its quotes.
//!
//! Small on purpose: it goes into the module. Never writes what is not finite, because it takes whole numbers alone.

use core::fmt::Write;

use tidegate_engine::value::json;

#[derive(Debug, Default)]
pub(super) struct Json(String);

impl Json {
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// A map with what `inside` writes.
    pub(super) fn map(&mut self, inside: impl FnOnce(&mut Self)) {
        self.open('{');
        inside(self);
        self.close('}');
    }

    /// A list with what `inside` writes.
    pub(super) fn list(&mut self, inside: impl FnOnce(&mut Self)) {
        self.open('[');
        inside(self);
        self.close(']');
    }

    /// A key of a map; its value comes next.
    #[inline(never)]
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.0.push(':');
        self
    }

    #[inline(never)]
    pub(super) fn text(&mut self, text: &str) {
        self.border();
        json::write(text, &mut self.0);
    }

    /// A whole number; `null` if there is none.
    fn number(&mut self, number: Option<i64>) {
        self.border();
        let _ = match number {
            Some(number) => write!(self.0, "{number}"),
            None => self.0.write_str("null"),
        };
    }

    /// A key with a whole number; `null` if there is none.
    #[inline(never)]
    pub(super) fn field(&mut self, name: &str, number: Option<i64>) {
        self.key(name).number(number);
    }

    /// A key with a count; one beyond what a number can be is the largest one.
    #[inline(never)]
    pub(super) fn count(&mut self, name: &str, count: Option<u64>) {
        self.field(name, count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
    }

    /// A number that is text already.
    pub(super) fn digits(&mut self, digits: &str) {
        self.border();
        self.0.push_str(if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits } else { "null" });
    }

    #[inline(never)]
    pub(super) fn truth(&mut self, truth: bool) {
        self.border();
        self.0.push_str(if truth { "true" } else { "false" });
    }

    #[inline(never)]
    fn open(&mut self, bracket: char) {
        self.border();
        self.0.push(bracket);
    }

    #[inline(never)]
    fn close(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    /// What stands between a value and the one before it.
    fn border(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with(['{', '[', ':']) {
            self.0.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut json = Json::default();
        json.map(|json| {
            json.key("a\"b").text("<\u{1}\\:{");
            json.key("list").list(|json| {
                json.number(Some(1));
                json.number(None);
                json.list(|_| ());
                json.map(|json| json.key("x").truth(true));
            });
            json.key("end").text("");
        });
        let text = json.finish();
        assert_eq!(text, r#"{"a\"b":"<\u0001\\:{","list":[1,null,[],{"x":true}],"end":""}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}
