//! A header map as Envoy keeps it, and the byte form in which the ABI passes maps around.
//! Values are bytes. Never validates a write: Envoy sends what a filter put into a response as it stands,
//! so a test asks [`Headers::illegal`] afterwards.

use std::fmt;

/// Header fields in order, pseudo headers first. Names are lower case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
        f.debug_list().entries(shown).finish()
    }
}

impl Headers {
    /// Fields as a client sent them: repeated names stay apart.
    pub fn of<N: AsRef<str>, V: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut headers = Self::default();
        for (name, value) in fields {
            headers.insert(canonical(name.as_ref()), value.as_ref().to_vec());
        }
        headers
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The first value, which is all that the header getter of the ABI shows.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value as text; `None` where it is absent or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.first(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let wanted = canonical(name);
        self.iter().filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
    }

    /// All values become this one, at the end of the map: Envoy removes and adds.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let name = canonical(name);
        self.0.retain(|(present, _)| *present != name);
        self.insert(name, value.to_vec());
    }

    /// One more value. A pseudo header has a single slot, which Envoy extends after a comma.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let name = canonical(name);
        let slot = self.0.iter_mut().find(|(present, _)| name.starts_with(':') && *present == name);
        match slot {
            Some((_, present)) => {
                present.push(b',');
                present.extend_from_slice(value);
            }
            None => self.insert(name, value.to_vec()),
        }
    }

    /// The first value becomes this one, and the field keeps its place.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        let name = canonical(name);
        match self.0.iter_mut().find(|(present, _)| *present == name) {
            Some((_, present)) => *present = value.to_vec(),
            None => self.insert(name, value.to_vec()),
        }
    }

    pub fn remove(&mut self, name: &str) {
        let name = canonical(name);
        self.0.retain(|(present, _)| *present != name);
    }

    /// The first field that must not reach a peer: a name that is no token, or CR, LF or NUL in a value.
    pub fn illegal(&self) -> Option<(&str, &[u8])> {
        self.iter().find(|(name, value)| {
            let token = name.strip_prefix(':').unwrap_or(name);
            token.is_empty() || !token.bytes().all(is_token) || value.iter().any(|byte| b"\r\n\0".contains(byte))
        })
    }

    fn insert(&mut self, name: String, value: Vec<u8>) {
        let at = if name.starts_with(':') {
            self.0.iter().take_while(|(present, _)| present.starts_with(':')).count()
        } else {
            self.0.len()
        };
        self.0.insert(at, (name, value));
    }

    /// The ABI's form: the count, the lengths of each pair, then each name and value with a closing NUL.
    pub(super) fn to_pairs(&self) -> Vec<u8> {
        let mut bytes = length(self.0.len()).to_vec();
        for (name, value) in self.iter() {
            bytes.extend_from_slice(&length(name.len()));
            bytes.extend_from_slice(&length(value.len()));
        }
        for (name, value) in self.iter() {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        bytes
    }

    /// `None` where the lengths do not fit the bytes. No bytes at all are an empty map.
    pub(super) fn from_pairs(bytes: &[u8]) -> Option<Self> {
        let mut headers = Self::default();
        if bytes.is_empty() {
            return Some(headers);
        }
        let (count, mut lengths) = take_length(bytes)?;
        let mut text = lengths.get(count.checked_mul(8)?..)?;
        for _ in 0..count {
            let (name_length, rest) = take_length(lengths)?;
            let (value_length, rest) = take_length(rest)?;
            lengths = rest;
            let (name, rest) = text.split_at_checked(name_length)?;
            let (value, rest) = rest.get(1..)?.split_at_checked(value_length)?;
            text = rest.get(1..)?;
            headers.add(&String::from_utf8_lossy(name), value);
        }
        Some(headers)
    }
}

/// Envoy compares in lower case, and `host` is another word for `:authority`.
fn canonical(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "host" { ":authority".to_owned() } else { name }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*length)).ok()?, rest))
}
