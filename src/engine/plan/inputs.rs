//! Turns all that a plan looks at into a list of inputs: what has to be fetched for a request, and no more.
//!
//! Each distinct input has a slot; conditions and identities speak of slots. Headers are found by one look-up a
//! header of the request, which also tells whether the name belongs to the filter. Never fetches anything.

use core::hash::Hasher;

use fnv::FnvHasher;

use crate::config::ClaimPath;
use crate::output::baggage::BAGGAGE;
use crate::value::encode::{Encode, Encoder};
use crate::value::name::{HeaderName, OwnedHeader, ParameterName};

/// The place of an input's value in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u16);

impl Slot {
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What only the host can tell about a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// A claim that was verified before this filter.
    Claim(ClaimPath),
    /// The mTLS principal of the caller.
    Peer,
    /// The trusted address of the client.
    Address,
    /// This proxy's node id.
    Proxy,
}

/// What a plan needs of a request.
#[derive(Debug, Default)]
pub struct Inputs {
    headers: HeaderTable,
    pub cookies: Box<[(ParameterName, Slot)]>,
    pub queries: Box<[(ParameterName, Slot)]>,
    pub properties: Box<[(Property, Slot)]>,
    pub token_claims: Box<[(ClaimPath, Slot)]>,
    pub device: Option<Slot>,
    /// Where the headers stand that other inputs are made of.
    pub authorization: Option<Slot>,
    pub user_agent: Option<Slot>,
    pub mobile_hint: Option<Slot>,
    slots: u16,
}

impl Inputs {
    /// For a plan that decides nothing: it reads no input, and owns these headers and every default header of a flag.
    pub(super) fn inert(owned: &[OwnedHeader]) -> Self {
        let mut inputs = Interner::default().finish(owned, false);
        inputs.headers.all_flags = true;
        inputs.headers.ends.fill(u64::MAX);
        inputs
    }

    /// Where the value of the cookie of this name goes, if it is looked at.
    #[must_use]
    pub fn cookie(&self, name: &[u8]) -> Option<Slot> {
        look_up(&self.cookies, name)
    }

    /// Where the value of the query parameter of this name goes, if it is looked at.
    #[must_use]
    pub fn query(&self, name: &[u8]) -> Option<Slot> {
        look_up(&self.queries, name)
    }

    /// What must be asked of the host, apart from the request's headers.
    #[inline]
    pub fn properties(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().map(|(property, _)| property)
    }

    /// The input of a slot, in the words of a config.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn name(&self, slot: Slot) -> String {
        #[inline(never)]
        fn find<N>(list: &[(N, Slot)], slot: Slot) -> Option<&N> {
            list.iter().find(|(_, known)| *known == slot).map(|(name, _)| name)
        }
        let claim = |path: &ClaimPath| path.0.join(".");
        if let Some(name) = find(&self.cookies, slot) {
            return format!("cookie {name}");
        }
        if let Some(name) = find(&self.queries, slot) {
            return format!("query {name}");
        }
        if let Some(path) = find(&self.token_claims, slot) {
            return format!("unverifiedClaim {}", claim(path));
        }
        match find(&self.properties, slot) {
            Some(Property::Claim(path)) => return format!("claim {}", claim(path)),
            Some(Property::Peer) => return "peer".to_owned(),
            Some(Property::Address) => return "address".to_owned(),
            Some(Property::Proxy) => return "proxy".to_owned(),
            None => {}
        }
        if self.device == Some(slot) {
            return "device".to_owned();
        }
        let header = self.headers.entries.iter().find(|(_, role)| *role == HeaderRole::Slot(slot));
        header.map_or_else(String::new, |(name, _)| format!("header {}", String::from_utf8_lossy(name)))
    }

    /// The headers that have a role, by name.
    pub(super) fn header_names(&self) -> impl Iterator<Item = (&[u8], HeaderRole)> {
        self.headers.entries.iter().map(|(name, role)| (&**name, *role))
    }

    /// The most names that one header is compared with.
    pub(super) fn longest_run(&self) -> usize {
        let runs = self.headers.buckets.split(|number| *number == 0);
        runs.map(<[u16]>::len).max().unwrap_or_default()
    }

    /// How many slots a request has.
    #[inline]
    #[must_use]
    pub fn slots(&self) -> usize {
        usize::from(self.slots)
    }

    /// Calls `visit` with each role of the header with this name.
    #[inline]
    pub fn header(&self, name: &[u8], mut visit: impl FnMut(HeaderRole)) {
        if self.headers.can_have(name) {
            self.headers.find(name, &mut visit);
        }
    }
}

impl Inputs {
    /// Whether a name is the filter's own: a client may not send a trailer under it.
    #[must_use]
    pub fn owns(&self, name: &[u8]) -> bool {
        let mut owned = false;
        self.header(name, |role| owned |= matches!(role, HeaderRole::Owned | HeaderRole::Baggage));
        owned
    }
}

fn look_up(names: &[(ParameterName, Slot)], name: &[u8]) -> Option<Slot> {
    let place = names.binary_search_by(|(known, _)| known.as_str().as_bytes().cmp(name)).ok()?;
    names.get(place).map(|(_, slot)| *slot)
}

fn insert(names: &mut Vec<(ParameterName, Slot)>, name: ParameterName, slot: Slot) {
    let place = names.partition_point(|(known, _)| *known < name);
    names.insert(place, (name, slot));
}

/// What a request header is used for. One header can have several roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRole {
    /// It belongs to the filter: a value that a client sent is removed.
    Owned,
    Cookies,
    Baggage,
    Slot(Slot),
}

/// Finds a header's roles by its name, in any case. Owned names are also found under their `_` twins, because CGI
/// and WSGI fold `_` and `-` onto each other: to them `x_flag_a` is `x-flag-a`.
#[derive(Debug, Default)]
struct HeaderTable {
    entries: Box<[(Box<[u8]>, HeaderRole)]>,
    /// A hash table with linear probing: an entry's number plus one, or 0.
    buckets: Box<[u16]>,
    /// By the length of a name, with which bytes names end, as bits: any other header needs no hash.
    ends: Box<[u64]>,
    /// Whether every name that a flag would have by itself is owned, whatever the flags are.
    all_flags: bool,
}

impl HeaderTable {
    fn new(entries: Vec<(Box<[u8]>, HeaderRole)>) -> Self {
        let size = entries.len().saturating_mul(2).next_power_of_two();
        let (buckets, ends) = (vec![0; size].into(), vec![0; LENGTHS].into());
        let mut table = Self { buckets, entries: Box::default(), ends, all_flags: false };
        for (number, (name, _)) in (1..).zip(&entries) {
            if let Some(ends) = table.ends.get_mut(length(name)) {
                *ends |= end_bit(name);
            }
            let free = table.probe(name).find(|at| table.buckets.get(*at) == Some(&0));
            if let Some(bucket) = free.and_then(|at| table.buckets.get_mut(at)) {
                *bucket = number;
            }
        }
        table.entries = entries.into();
        table
    }

    /// Whether a name has to be looked up: most headers are told by their length and last byte that they are not there.
    #[inline]
    fn can_have(&self, name: &[u8]) -> bool {
        self.ends.get(length(name)).is_none_or(|ends| ends & end_bit(name) != 0)
    }

    // Not generic, so that the module has it once.
    #[inline]
    fn find(&self, name: &[u8], visit: &mut dyn FnMut(HeaderRole)) {
        if self.all_flags && name.iter().map(|byte| fold(*byte)).take(6).eq(*b"x-flag") {
            visit(HeaderRole::Owned);
            return;
        }
        for at in self.probe(name) {
            let Some(number) = self.buckets.get(at).and_then(|number| usize::from(*number).checked_sub(1)) else {
                return;
            };
            let Some((known, role)) = self.entries.get(number) else { return };
            let same = match role {
                HeaderRole::Owned => {
                    known.len() == name.len() && known.iter().zip(name).all(|(a, b)| fold(*a) == fold(*b))
                }
                HeaderRole::Cookies | HeaderRole::Baggage | HeaderRole::Slot(_) => known.eq_ignore_ascii_case(name),
            };
            if same {
                visit(*role);
            }
        }
    }

    /// All buckets, beginning with the one where this name belongs.
    #[inline]
    fn probe(&self, name: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let mut state = FnvHasher::default();
        for byte in name {
            state.write_u8(fold(*byte));
        }
        let size = self.buckets.len();
        let mask = size.wrapping_sub(1);
        // The table is half empty at most full, so that a search ends after a few steps.
        let first = usize::try_from(state.finish() & 0xffff_ffff).unwrap_or_default() & mask;
        (0..size).map(move |step| first.wrapping_add(step) & mask)
    }
}

/// How many lengths of names are told apart.
const LENGTHS: usize = 64;

/// The length of a name; long names share the last one.
#[inline]
fn length(name: &[u8]) -> usize {
    name.len().min(LENGTHS.saturating_sub(1))
}

/// The bit for the last byte of a name.
#[inline]
fn end_bit(name: &[u8]) -> u64 {
    1_u64.wrapping_shl(name.last().map_or(0, |byte| u32::from(fold(*byte))) & 63)
}

#[inline]
fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// Gives out slots while a plan is compiled.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// The inputs in the order of their slots.
    inputs: Vec<Input>,
    /// Their hashes, sorted, each with the slot.
    hashes: Vec<(u64, Slot)>,
}

/// One input, by what it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    Header(HeaderName),
    Cookie(ParameterName),
    Query(ParameterName),
    Property(Property),
    TokenClaim(ClaimPath),
    Device,
}

impl Encode for Input {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Header(name) => out.choice(0, name),
            Self::Cookie(name) => out.choice(1, name),
            Self::Query(name) => out.choice(2, name),
            Self::TokenClaim(path) => out.choice(3, path),
            Self::Property(Property::Claim(path)) => out.choice(4, path),
            Self::Property(Property::Peer) => out.number(5),
            Self::Property(Property::Address) => out.number(6),
            Self::Property(Property::Proxy) => out.number(7),
            Self::Device => out.number(8),
        }
    }
}

impl Interner {
    /// The slot of an input, and of the headers that it is made of.
    pub(super) fn slot(&mut self, input: Input) -> Slot {
        let made_of: &[&str] = match input {
            Input::TokenClaim(_) => &["authorization"],
            Input::Device => &["user-agent", "sec-ch-ua-mobile"],
            Input::Header(_) | Input::Cookie(_) | Input::Query(_) | Input::Property(_) => &[],
        };
        for name in made_of {
            self.known_header(name);
        }
        let mut written = Encoder::new("");
        input.encode(&mut written);
        let hash = written.finish();
        let first = self.hashes.partition_point(|(known, _)| *known < hash);
        let same = self.hashes.iter().skip(first).take_while(|(known, _)| *known == hash);
        for (_, slot) in same {
            if self.inputs.get(slot.index()) == Some(&input) {
                return *slot;
            }
        }
        // 512 KiB of config cannot name 65,535 inputs; past that, they would share the last slot.
        let slot = Slot(u16::try_from(self.inputs.len()).unwrap_or(u16::MAX));
        self.hashes.insert(first, (hash, slot));
        self.inputs.push(input);
        slot
    }

    /// Where the request's own id stands.
    pub(super) fn request_id(&mut self) -> Option<Slot> {
        self.known_header("x-request-id")
    }

    fn known_header(&mut self, name: &str) -> Option<Slot> {
        HeaderName::parse(name).ok().map(|name| self.slot(Input::Header(name)))
    }

    pub(super) fn finish(self, owned: &[OwnedHeader], baggage: bool) -> Inputs {
        let slots = u16::try_from(self.inputs.len()).unwrap_or(u16::MAX);
        let mut inputs = Inputs { slots, ..Inputs::default() };
        let mut entries: Vec<(Box<[u8]>, HeaderRole)> = Vec::new();
        entries.extend(owned.iter().map(|name| (name.as_str().as_bytes().into(), HeaderRole::Owned)));
        let (mut cookies, mut queries, mut properties, mut token_claims) = (vec![], vec![], vec![], vec![]);
        for (input, slot) in self.inputs.into_iter().zip((0..).map(Slot)) {
            match input {
                Input::Header(name) => {
                    match name.as_str() {
                        "authorization" => inputs.authorization = Some(slot),
                        "user-agent" => inputs.user_agent = Some(slot),
                        "sec-ch-ua-mobile" => inputs.mobile_hint = Some(slot),
                        _ => {}
                    }
                    entries.push((name.as_str().as_bytes().into(), HeaderRole::Slot(slot)));
                }
                Input::Cookie(name) => insert(&mut cookies, name, slot),
                Input::Query(name) => insert(&mut queries, name, slot),
                Input::Property(property) => properties.push((property, slot)),
                Input::TokenClaim(path) => token_claims.push((path, slot)),
                Input::Device => inputs.device = Some(slot),
            }
        }
        if !cookies.is_empty() {
            entries.push((Box::from(&b"cookie"[..]), HeaderRole::Cookies));
        }
        if baggage {
            entries.push((BAGGAGE.as_bytes().into(), HeaderRole::Baggage));
        }
        inputs.headers = HeaderTable::new(entries);
        inputs.cookies = cookies.into();
        inputs.queries = queries.into();
        inputs.properties = properties.into();
        inputs.token_claims = token_claims.into();
        inputs
    }

    /// The headers that are looked at, with `-` for `_`.
    pub(super) fn headers(&self) -> Vec<String> {
        let name = |input: &Input| match input {
            Input::Header(name) => Some(name.as_str().replace('_', "-")),
            _ => None,
        };
        self.inputs.iter().filter_map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_names_are_found_in_any_case_and_under_their_twins() {
        let owned = [OwnedHeader::parse("x-flag-a_b").unwrap(), OwnedHeader::parse("x-version").unwrap()];
        let mut interner = Interner::default();
        let read = interner.slot(Input::Header(HeaderName::parse("x-user_id").unwrap()));
        interner.slot(Input::Cookie(ParameterName::parse("uid").unwrap()));
        let inputs = interner.finish(&owned, false);
        let places = |name: &str| {
            let mut places = Vec::new();
            inputs.header(name.as_bytes(), |place| places.push(place));
            places
        };
        for name in ["x-flag-a_b", "X-Flag-A-B", "x_flag_a_b", "x-version", "X_VERSION"] {
            assert_eq!(places(name), [HeaderRole::Owned], "{name}");
        }
        assert_eq!(places("X-User_Id"), [HeaderRole::Slot(read)]);
        assert_eq!(places("Cookie"), [HeaderRole::Cookies]);
        for name in ["x-user-id", "x-flag-a", "x-flag-a_bc", "", "cookies", "x-verſion"] {
            assert_eq!(places(name), [], "{name}");
        }
    }

    #[test]
    fn a_full_table_still_ends_every_search() {
        let names: Vec<OwnedHeader> = (0..2_000).map(|n| OwnedHeader::parse(&format!("x-{n}")).unwrap()).collect();
        let inputs = Interner::default().finish(&names, false);
        let mut found = 0;
        (0..4_000).for_each(|n| inputs.header(format!("X_{n}").as_bytes(), |_| found += 1));
        assert_eq!(found, 2_000);
    }
}
