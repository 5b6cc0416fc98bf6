//! Turns the path of a request into its normal form: the one by which flags and conditions know it.
//!
//! Servers read `//api`, `/./api`, `/x/../api`, `/%61pi`, `/x%2fapi` and `/api;a=1` as other paths than they look, each
//! in its way.
//! A flag that is to be killed for `/api` has to be found under all of them. Never changes what goes upstream.

use std::borrow::Cow;

/// The path without doubled slashes, dot segments and the parameters of segments (`;` and what follows), with `\`, `%5c`
/// and `%2f` as slashes, and with what needs no escape unescaped, once. Borrowed where it is that already.
#[inline]
#[must_use]
pub fn normal(path: &[u8]) -> Cow<'_, [u8]> {
    let mut before = 0;
    let odd = |byte: &u8| {
        let odd = match byte {
            b'/' | b'.' => before == b'/',
            b'%' | b'\\' | b';' => true,
            _ => false,
        };
        before = *byte;
        odd
    };
    if !path.starts_with(b"/") || !path.iter().any(odd) {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let (mut rest, mut parameters) = (path, false);
    while let Some((first, mut tail)) = rest.split_first() {
        let mut byte = *first;
        if byte == b'%'
            && let [high, low, behind @ ..] = tail
            && let Some(meant) = hex(*high, *low)
            && (meant.is_ascii_alphanumeric() || b"-._~/\\".contains(&meant))
        {
            (byte, tail) = (meant, behind);
        }
        rest = tail;
        if matches!(byte, b'/' | b'\\') {
            parameters = false;
            close(&mut out);
            if !out.ends_with(b"/") {
                out.push(b'/');
            }
        } else if byte == b';' {
            // Servlet containers take these off before they look for dot segments. `%3b` begins none there.
            parameters = true;
        } else if !parameters {
            out.push(byte);
        }
    }
    close(&mut out);
    Cow::Owned(out)
}

/// Takes a dot segment at the end away, and for `..` the one in front of it.
fn close(out: &mut Vec<u8>) {
    let last = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    let slash = last(out);
    match out.get(slash..) {
        Some(b"/.") => out.truncate(slash.saturating_add(1)),
        Some(b"/..") => {
            let parent = last(out.get(..slash).unwrap_or_default());
            out.truncate(parent.saturating_add(1));
        }
        _ => {}
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        for (path, form) in [
            ("/api", "/api"),
            ("", ""),
            ("*", "*"),
            ("//api", "/api"),
            ("/api///x//", "/api/x/"),
            ("/./api", "/api"),
            ("/api/.", "/api/"),
            ("/api/x/..", "/api/"),
            ("/api/x/../y", "/api/y"),
            ("/..", "/"),
            ("/../../api", "/api"),
            ("/a/b/../../c", "/c"),
            ("/a/b/%2e%2E/c", "/a/c"),
            ("/%61pi", "/api"),
            ("/x%2fapi", "/x/api"),
            ("/x%2F..%2Fapi", "/api"),
            ("/x\\api", "/x/api"),
            ("/x%5capi", "/x/api"),
            ("/%", "/%"),
            ("/%2", "/%2"),
            ("/%zz/%41", "/%zz/A"),
            ("/%2561", "/%2561"),
            ("/a%20b", "/a%20b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/..b/.../c.", "/a/..b/.../c."),
            ("/a%3fb", "/a%3fb"),
            ("/api;a=1", "/api"),
            ("/api;a=1;b=../x;/y", "/api/x/y"),
            ("/;/api", "/api"),
            ("/;x/api", "/api"),
            ("/;", "/"),
            ("/x/..;/api", "/api"),
            ("/x/..;a=1/api/..;", "/"),
            ("/.;/api", "/api"),
            ("/x/%2e%2e;/api", "/api"),
            ("/x;%2f../api", "/api"),
            ("/x;%2e%2e/api", "/x/api"),
            ("/x;\\..\\api", "/api"),
            ("/a%3bb", "/a%3bb"),
        ] {
            let normal = normal(path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&normal), form, "{path}");
            assert_eq!(super::normal(&normal), normal, "the normal form is its own: {path}");
        }
    }

    #[test]
    fn an_ordinary_path_is_borrowed() {
        for path in ["/", "/api/v1/users/7", "/a.b/c-d_e~f", "/a,b=c:d@e"] {
            assert!(matches!(normal(path.as_bytes()), Cow::Borrowed(_)), "{path}");
        }
    }
}
