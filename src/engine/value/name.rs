//! Turns the names of a config into types that cannot hold a wrong one.
//!
//! What is written into a header has passed one of these parsers: a token as name, visible ASCII as value. That
//! is what keeps a line break in a config from becoming a second header. Never holds anything of a request.

use crate::value::encode::{Encode, Encoder};
use core::fmt;

use crate::problem::{Quoted, Wrong};
use crate::value::path;

/// The longest name of a flag, variant or segment.
const NAME_MAX: usize = 64;

/// The longest header name, header value or cookie name that is written.
const WRITTEN_MAX: usize = 256;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Encoder) {
                out.bytes(self.as_str().as_bytes());
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A flag's key: a lower-case letter, then lower-case letters, digits, `-`, `_` and `.`; at most 64.
    ///
    /// It becomes part of a header name and a key of an RFC 9651 dictionary, as it stands.
    FlagKey
    /// A variant's name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit; at most 64.
    VariantName
    /// A segment's name: as a variant's.
    SegmentName
    /// The name of a header that is read: a token, lower-cased.
    HeaderName
    /// The name of a header that the filter owns: written by it, and removed when a client sends it.
    OwnedHeader
    /// What is written into a header: visible ASCII with spaces inside, at most 256 bytes.
    HeaderValue
    /// A cookie's or query parameter's name: a token.
    ParameterName
    /// A host, or `*.` and a domain; lower case, without port.
    HostPattern
    /// A prefix of paths in its normal form, without its last slash: `/api`; everything is the empty prefix.
    PathPrefix
    /// A method: a token, as it is sent.
    Method
    /// Text for people: at most 1,000 bytes, no control characters.
    Prose
}

impl FlagKey {
    /// Reads a flag's key.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong; so do all parsers here.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err("must begin with a lower-case letter".into());
        }
        only(text, NAME_MAX, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))?;
        Ok(Self(text.into()))
    }
}

impl VariantName {
    /// Reads a variant's name.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        label(text)?;
        Ok(Self(text.into()))
    }
}

impl SegmentName {
    /// Reads a segment's name.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        label(text)?;
        Ok(Self(text.into()))
    }
}

impl HeaderName {
    /// Reads the name of a header that conditions or identities look at.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        only(text, WRITTEN_MAX, is_token)?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl OwnedHeader {
    /// Reads the name of a header that the filter will write.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong, or that the header carries the request itself.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        // The filter removes a header that it owns from every request, and no request works without these.
        const NOT_OURS: [&str; 28] = [
            "authorization",
            "baggage",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "expect",
            "forwarded",
            "host",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "keep-alive",
            "origin",
            "proxy-authorization",
            "proxy-connection",
            "range",
            "te",
            "traceparent",
            "tracestate",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "user-agent",
            "via",
            "x-request-id",
        ];
        let name = HeaderName::parse(text)?;
        let family = ["x-envoy-", "x-forwarded-"].iter().any(|family| name.as_str().starts_with(family));
        if family || NOT_OURS.contains(&name.as_str()) {
            return Err("belongs to the request itself and cannot be taken over".into());
        }
        Ok(Self(name.0))
    }

    /// The header in which a flag's variant travels when the flag names no other.
    #[must_use]
    pub fn of_flag(key: &FlagKey) -> Self {
        Self(format!("x-flag-{key}").into())
    }
}

impl HeaderValue {
    /// Reads the value of a header that the filter will write.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err("may not begin or end with a space".into());
        }
        only(text, WRITTEN_MAX, |b| b.is_ascii_graphic() || b == b' ')?;
        Ok(Self(text.into()))
    }
}

impl From<&VariantName> for HeaderValue {
    fn from(name: &VariantName) -> Self {
        Self(name.0.clone())
    }
}

impl ParameterName {
    /// Reads the name of a cookie or a query parameter.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        only(text, WRITTEN_MAX, is_token)?;
        Ok(Self(text.into()))
    }
}

impl HostPattern {
    /// Reads `shop.example` or `*.shop.example`.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong, or that a port was given.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        // Final dots make no difference: hosts of requests are matched without them.
        let text = text.trim_end_matches('.');
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains('/') {
            return Err("must be a host alone, without scheme and path".into());
        }
        if name == "*" {
            return Err("would match any host: leave hosts out for that".into());
        }
        if name.contains('*') {
            return Err("may have a star only in front, as in \"*.shop.example\"".into());
        }
        if name.starts_with('[') != name.ends_with(']') {
            return Err("must close the bracket of its address".into());
        }
        if !name.starts_with('[') && name.contains(':') {
            return Err("is matched without its port".into());
        }
        only(name, WRITTEN_MAX, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':'))?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The domain behind `*.`, where there is one.
    #[must_use]
    pub fn wildcard(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// Whether a host is this one, or below this domain.
    #[must_use]
    pub fn takes(&self, host: &[u8]) -> bool {
        match self.wildcard() {
            None => host == self.0.as_bytes(),
            // At least one label, and a border, in front of the domain.
            Some(domain) => {
                host.strip_suffix(domain.as_bytes()).is_some_and(|front| front.len() > 1 && front.ends_with(b"."))
            }
        }
    }
}

impl PathPrefix {
    /// Reads `/api` or `/api/`, which are the same prefix.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if !text.starts_with('/') {
            return Err("must begin with a slash".into());
        }
        only(text, 1_024, |b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'))?;
        let normal = path::normal(text.as_bytes());
        let text = core::str::from_utf8(&normal).unwrap_or(text);
        Ok(Self(text.strip_suffix('/').unwrap_or(text).into()))
    }

    /// Whether a path is this one, or below it.
    #[must_use]
    pub fn takes(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.0.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl Method {
    /// Reads a method.
    ///
    /// # Errors
    ///
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        only(text, NAME_MAX, is_token)?;
        Ok(Self(text.into()))
    }
}

impl Prose {
    /// Reads text that may not be empty.
    ///
    /// # Errors
    ///
    /// As [`Prose::parse`], and that it is empty.
    pub fn parse_some(text: &str) -> Result<Self, Wrong> {
        if text.is_empty() { Err("may not be empty".into()) } else { Self::parse(text) }
    }

    /// Reads text for people.
    ///
    /// # Errors
    ///
    /// Says that it is too long or holds a control character.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        readable(text, 1_000, &[])?;
        Ok(Self(text.into()))
    }
}

/// Text of at most so many bytes, without control characters but for these.
///
/// # Errors
///
/// Says which character or length is wrong.
pub fn readable(text: &str, most: usize, but: &[char]) -> Result<(), Wrong> {
    short(text, most)?;
    found(text.chars().find(|c| c.is_control() && !but.contains(c)))
}

/// A name of letters, digits, `-`, `_` and `.`.
fn label(text: &str) -> Result<(), Wrong> {
    only(text, NAME_MAX, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))?;
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err("must begin with a letter or a digit".into())
    }
}

/// RFC 9110's `tchar`.
#[must_use]
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An RFC 9651 item: a token where the text is one, a quoted string else.
#[must_use]
pub fn item(text: &str) -> String {
    let token = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
        && text.bytes().all(|b| is_token(b) || matches!(b, b':' | b'/'));
    if token { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// An error if a text is too long.
fn short(text: &str, most: usize) -> Result<(), Wrong> {
    if text.len() > most {
        return Err(format!("may have at most {most} bytes, not {}", text.len()).into());
    }
    Ok(())
}

/// An error that names the character, if one was found.
fn found(c: Option<char>) -> Result<(), Wrong> {
    match c {
        Some(c) => Err(format!("may not contain {}", Quoted(&c.to_string())).into()),
        None => Ok(()),
    }
}

fn only(text: &str, most: usize, fits: impl Fn(u8) -> bool) -> Result<(), Wrong> {
    if text.is_empty() {
        return Err("may not be empty".into());
    }
    short(text, most)?;
    found(text.chars().find(|c| !u8::try_from(*c).is_ok_and(&fits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_door() {
        assert!(FlagKey::parse("checkout-v2.eu_1").is_ok());
        assert_eq!(FlagKey::parse("newNav").unwrap_err().to_string(), "may not contain \"N\"");
        assert_eq!(FlagKey::parse("1st").unwrap_err().to_string(), "must begin with a lower-case letter");
        assert_eq!(VariantName::parse("v 2").unwrap_err().to_string(), "may not contain \" \"");
        assert_eq!(VariantName::parse("-v2").unwrap_err().to_string(), "must begin with a letter or a digit");
        assert_eq!(VariantName::parse("").unwrap_err().to_string(), "may not be empty");
        assert_eq!(SegmentName::parse(&"a".repeat(65)).unwrap_err().to_string(), "may have at most 64 bytes, not 65");
    }

    #[test]
    fn a_line_break_never_becomes_a_header() {
        for text in ["a\r\nb: c", "a\nb", "a\0", "a\u{7f}", "a\u{e9}", " a", "a "] {
            assert!(HeaderValue::parse(text).is_err(), "{text:?}");
            assert!(OwnedHeader::parse(text).is_err(), "{text:?}");
        }
        assert!(HeaderValue::parse("Export is paused.").is_ok());
    }

    #[test]
    fn items_are_tokens_or_strings() {
        for (text, shown) in [
            ("v2", "v2"),
            ("sem-7", "sem-7"),
            ("7", "\"7\""),
            ("a b", "\"a b\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("", "\"\""),
        ] {
            assert_eq!(item(text), shown);
        }
    }

    #[test]
    fn the_request_itself_cannot_be_taken_over() {
        for name in ["Host", "cookie", "Content-Length", "x-envoy-retry-on", ":path"] {
            assert!(OwnedHeader::parse(name).is_err(), "{name}");
        }
        assert_eq!(OwnedHeader::parse("X-Version").unwrap().as_str(), "x-version");
    }

    #[test]
    fn hosts_and_paths_have_one_form() {
        assert_eq!(HostPattern::parse("*.Shop.example").unwrap().wildcard(), Some("shop.example"));
        assert!(HostPattern::parse("shop.example:8080").is_err());
        assert!(HostPattern::parse("*").is_err());
        assert_eq!(PathPrefix::parse("/api/").unwrap(), PathPrefix::parse("/api").unwrap());
        assert_eq!(PathPrefix::parse("/").unwrap().as_str(), "");
        assert_eq!(PathPrefix::parse("/x/..//%61pi/").unwrap().as_str(), "/api");
        assert_eq!(HostPattern::parse("shop.example.").unwrap().as_str(), "shop.example");
        assert!(PathPrefix::parse("api").is_err());
        assert!(PathPrefix::parse("/a?b").is_err());
    }
}
