//! Writes JSON: commas where they are needed, and text that cannot break out of its quotes.
//!
//! Small on purpose: it goes into the module. Never writes what is not finite, because it takes whole numbers alone.

use core::fmt::{Display, Write};

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
        self.0.push('}');
    }

    /// A list with what `inside` writes.
    pub(super) fn list(&mut self, inside: impl FnOnce(&mut Self)) {
        self.open('[');
        inside(self);
        self.0.push(']');
    }

    /// A key of a map; its value comes next.
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.0.push(':');
        self
    }

    pub(super) fn text(&mut self, text: &str) {
        self.border();
        json::write(text, &mut self.0);
    }

    /// A number or a boolean; `null` if there is none.
    pub(super) fn plain(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.raw(&value),
            None => self.raw(&"null"),
        }
    }

    /// Not generic, so that the module has it once.
    #[inline(never)]
    fn raw(&mut self, value: &dyn Display) {
        self.border();
        let _ = write!(self.0, "{value}");
    }

    #[inline(never)]
    fn open(&mut self, bracket: char) {
        self.border();
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
                json.plain(Some(1));
                json.plain(None::<u64>);
                json.list(|_| ());
                json.map(|json| json.key("x").plain(Some(true)));
            });
            json.key("end").text("");
        });
        let text = json.finish();
        assert_eq!(text, r#"{"a\"b":"<\u0001\\:{","list":[1,null,[],{"x":true}],"end":""}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}
