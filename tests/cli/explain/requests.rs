//! Makes requests out of seeds: what honest clients send, what broken ones do, and what somebody sends who wants to
//! decide for himself.
//!
//! All of them pass Envoy's own checks, so that each reaches the filter. Never draws by chance.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Who sends it, by number.
    pub(crate) caller: usize,
    method: &'static str,
    target: Vec<u8>,
    host: &'static str,
    /// All headers but the host, in order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "POST", "PUT", "DELETE", "OPTIONS"];

const HOSTS: [&str; 9] = [
    "shop.example",
    "Shop.Example:8443",
    "www.shop.example",
    "a.b.shop.example:80",
    "[::1]:80",
    "[2001:DB8::1]",
    "wwx.other.test",
    "shop.example.",
    "127.0.0.1:10000",
];

const PATHS: [&[u8]; 14] = [
    b"/",
    b"/api",
    b"/api/",
    b"/api/pay",
    b"/apix",
    b"/API/pay",
    b"/cart",
    b"/cart/new",
    b"/search",
    b"/search/new",
    b"/api/export",
    b"/api/export/csv;x=1",
    b"/%61pi/pay",
    b"/search//new/../%ff",
];

const VALUES: [&[u8]; 26] = [
    b"",
    b"ana",
    b" Ana\t",
    b"ANA",
    b"ana b",
    b"ana+b",
    b"ana%20b",
    b"%",
    b"%zz",
    b"a%4",
    b"%FF%00",
    b"\"ana b\"",
    b"\"ana%20b",
    b"a=b",
    b"true",
    b"NO",
    b"CN",
    b"10.1.2.3",
    b"2001:db8::7",
    b"2.10.0",
    b"2.3.0-rc.1",
    b"3.0.0",
    b"ok",
    b"\xff\xfe",
    b"z\xc3\xbc",
    b"curl/8.5.0",
];

const NAMES: [&str; 30] = [
    "x-user-id",
    "x-user-id",
    "x-account",
    "x-employee",
    "x-country",
    "x-country",
    "x-app",
    "x-from",
    "x-odd",
    "x-user_id",
    "x-noise",
    "user-agent",
    "accept",
    "sec-ch-ua-mobile",
    "content-type",
    "x-flag-checkout",
    "x_flag_checkout",
    "x-flag-killed",
    "x_flag-ramp",
    "x-flags",
    "x_flags",
    "x-pool",
    "x_pool",
    "x-upstream-version",
    "x_upstream_version",
    "x-tidegate",
    "x-flag-unknown",
    "x-look",
    "x-forwarded-for",
    "authorization",
];

const AGENTS: [&str; 6] = [
    "curl/8.5.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; SM-X910)",
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
    "Googlebot/2.1",
];

const PARAMETERS: [&[u8]; 8] = [b"uid", b"q", b"%71", b"session", b"new", b"x", b"", b"%zz"];

const COOKIES: [&str; 5] = ["uid", "session", "visitor", "UID", "other"];

const PAYLOADS: [&[u8]; 10] = [
    br#"{"realm": {"user": "ana"}, "tier": 3}"#,
    br#"{"realm": {"user": "user-1"}, "tier": "2"}"#,
    br#"{"realm": {"user": 5.0}, "tier": 3.5}"#,
    br#"{"realm": "ana", "tier": null}"#,
    br#"{"tier": 3, "tier": 4}"#,
    br#"{"realm": {"user": ""}, "tier": "30"}"#,
    br#"{"tier": 1e400}"#,
    b"[3]",
    b"{\"realm\": {\"user\": \"\xff\"}}",
    br#"{"realm""#,
];

impl Sent {
    /// The request of this number, from somebody with the claims of this caller.
    pub(crate) fn random(number: usize, caller: usize) -> Self {
        let chance = &mut Chance::new(number);
        let host = chance.pick(&HOSTS);
        let mut headers: Vec<(String, Vec<u8>)> = vec![("x-request-id".to_owned(), format!("request-{number}").into())];
        for _ in 0..chance.below(7) {
            let name = chance.pick(&NAMES);
            let value = match name {
                "user-agent" if chance.one_in(2) => chance.pick(&AGENTS).as_bytes().to_vec(),
                "sec-ch-ua-mobile" => chance.pick(&["?1", "?0", "1"]).as_bytes().to_vec(),
                "authorization" => token(chance),
                "x-look" => b"sesame".to_vec(),
                _ => value(chance),
            };
            headers.push((name.to_owned(), value));
        }
        for _ in 0..chance.below(3) {
            headers.push(("cookie".to_owned(), cookies(chance)));
        }
        if !chance.one_in(20) {
            headers.push(("x-look".to_owned(), b"open sesame".to_vec()));
        }
        // Some come more than once, and all in any case and order.
        if chance.one_in(5) {
            let again = chance.below(headers.len().max(2) - 1) + 1;
            let copy = headers.get(again).cloned();
            headers.extend(copy);
        }
        for (name, _) in &mut headers {
            if chance.one_in(4) {
                *name = name.to_ascii_uppercase();
            }
        }
        for place in 1..headers.len() {
            headers.swap(place, chance.below(place + 1));
        }
        Self { caller, method: chance.pick(&METHODS), target: target(chance), host, headers }
    }

    /// The head of the request, as it goes over a connection and stands in a file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.write(None)
    }

    /// The same with the number of its claims in a header of this name, for the proxy.
    pub(crate) fn on_the_wire(&self, claims: &str) -> Vec<u8> {
        self.write(Some(claims))
    }

    /// The headers as a filter meets them, by name: of some Envoy makes one, with all values.
    pub(crate) fn arriving(&self) -> Vec<(String, String)> {
        const JOINED: [&str; 4] = ["accept", "authorization", "content-type", "user-agent"];
        let mut arriving: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.headers {
            let (name, value) = (name.to_ascii_lowercase(), shown(value));
            match arriving.iter_mut().find(|(known, _)| *known == name && JOINED.contains(&&*name)) {
                Some((_, known)) if known.is_empty() || value.is_empty() => known.push_str(&value),
                Some((_, known)) => *known = format!("{known},{value}"),
                None => arriving.push((name, value)),
            }
        }
        arriving
    }

    fn write(&self, claims: Option<&str>) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\nhost: "].concat();
        bytes.extend_from_slice(self.host.as_bytes());
        for (name, value) in &self.headers {
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
        }
        if let Some(claims) = claims {
            bytes.extend_from_slice(format!("\r\n{claims}: {}", self.caller).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes
    }
}

/// Bytes as they can be read; blanks around them are none of them.
pub(crate) fn shown(value: &[u8]) -> String {
    value.trim_ascii().escape_ascii().to_string()
}

/// A path with a query; now and then with all that stands in front of it.
fn target(chance: &mut Chance) -> Vec<u8> {
    let mut target = Vec::new();
    if chance.one_in(20) {
        target.extend_from_slice(format!("http://{}", chance.pick(&HOSTS)).as_bytes());
    }
    target.extend_from_slice(chance.pick(&PATHS));
    for place in 0..chance.below(4) {
        target.push(if place == 0 { b'?' } else { b'&' });
        target.extend_from_slice(chance.pick(&PARAMETERS));
        if !chance.one_in(8) {
            target.push(b'=');
            // A blank would end the target, and what is no ASCII is not let pass there.
            target.extend(value(chance).into_iter().filter(u8::is_ascii_graphic));
        }
    }
    target
}

fn cookies(chance: &mut Chance) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> = (0..=chance.below(3))
        .map(|_| {
            let mut pair = chance.pick(&COOKIES).as_bytes().to_vec();
            if !chance.one_in(10) {
                pair.push(b'=');
                pair.extend(value(chance));
            }
            pair
        })
        .collect();
    pairs.join(chance.pick(&[&b"; "[..], b";", b" ; ", b";;"]))
}

/// A bearer token, or what is left of one.
fn token(chance: &mut Chance) -> Vec<u8> {
    let payload = URL_SAFE_NO_PAD.encode(chance.pick(&PAYLOADS));
    let text = match chance.below(8) {
        0 => format!("bearer  e30.{payload}.c2ln "),
        1 => format!("Basic e30.{payload}.c2ln"),
        2 => format!("Bearer e30.{payload}"),
        3 => format!("Bearer e30.{payload}=.c2ln.x"),
        _ => format!("Bearer e30.{payload}.c2ln"),
    };
    text.into_bytes()
}

fn value(chance: &mut Chance) -> Vec<u8> {
    match chance.below(10) {
        0..4 => format!("user-{}", chance.below(100_000)).into_bytes(),
        4 => vec![b'l'; 250 + chance.below(10)],
        5 => {
            // What Envoy lets pass in a header.
            let allowed: Vec<u8> = (b' '..=0xff).filter(|byte| !b"\x7f#".contains(byte)).collect();
            (0..chance.below(12)).map(|_| chance.pick(&allowed)).collect()
        }
        _ => chance.pick(&VALUES).to_vec(),
    }
}

/// Numbers out of a seed: splitmix64.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}
