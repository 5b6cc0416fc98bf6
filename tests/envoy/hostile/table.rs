//! The hostile requests, as data: what goes onto the wire, with a name each.
//!
//! Most are a [`Message`], which goes out as HTTP/1.1 and as HTTP/2; what only one of them can say is written as
//! bytes. Never knows what should become of a request.

use super::values;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The claims that a filter in front has verified: name, and text.
pub type Claims = Vec<(&'static str, Vec<u8>)>;

/// A request on the wire.
#[derive(Clone, Debug)]
pub enum Wire {
    /// Bytes for a connection.
    One(Vec<u8>),
    /// Fields for a stream.
    Two(Vec<(Vec<u8>, Vec<u8>)>),
}

/// A request, and what it is about.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub wire: Wire,
    pub claims: Claims,
}

/// A request that can be said in both versions.
#[derive(Clone, Debug)]
struct Message {
    method: &'static str,
    target: Vec<u8>,
    host: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    claims: Claims,
}

fn get(target: impl AsRef<[u8]>) -> Message {
    let target = target.as_ref().to_vec();
    Message { method: "GET", target, host: b"shop.example".to_vec(), headers: Vec::new(), claims: Vec::new() }
}

impl Message {
    fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    fn times(self, count: usize, name: impl AsRef<[u8]>, value: impl Fn(usize) -> Vec<u8>) -> Self {
        (0..count).fold(self, |message, n| message.with(name.as_ref(), value(n)))
    }

    fn one(&self) -> Wire {
        let mut out =
            [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\nhost: ", &self.host, b"\r\n"].concat();
        for (name, value) in &self.headers {
            out.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
        }
        out.extend_from_slice(b"\r\n");
        Wire::One(out)
    }

    fn two(&self) -> Wire {
        let pseudo = [
            (&b":method"[..], self.method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", &self.host),
            (b":path", &self.target),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.to_vec(), value.to_vec()));
        Wire::Two(pseudo.into_iter().chain(self.headers.clone()).collect())
    }
}

/// Collects cases; each request gets an id, so that an identity made from it is known.
#[derive(Debug, Default)]
struct Table(Vec<Case>);

impl Table {
    fn both(&mut self, name: impl AsRef<str>, message: Message) {
        self.add(name.as_ref(), message, [true, true]);
    }

    fn first(&mut self, name: impl AsRef<str>, message: Message) {
        self.add(name.as_ref(), message, [true, false]);
    }

    fn add(&mut self, name: &str, message: Message, [one, two]: [bool; 2]) {
        let mut message = message.with("x-request-id", format!("hostile-{}", self.0.len()));
        if !message.claims.is_empty() {
            let escape = |value: &[u8]| value.iter().map(|byte| format!("%{byte:02X}")).collect::<String>();
            let claims: Vec<String> =
                message.claims.iter().map(|(name, value)| format!("{name}=s:{}", escape(value))).collect();
            message = message.with("x-case-claims", claims.join("&"));
        }
        let wires = [(one, "HTTP/1.1", message.one()), (two, "HTTP/2", message.two())];
        for (_, version, wire) in wires.into_iter().filter(|(wanted, ..)| *wanted) {
            self.0.push(Case { name: format!("{name} ({version})"), wire, claims: message.claims.clone() });
        }
    }

    fn raw(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        let wire = Wire::One(bytes.as_ref().to_vec());
        self.0.push(Case { name: format!("{name} (raw)"), wire, claims: Vec::new() });
    }

    fn fields(&mut self, name: &str, fields: &[(&[u8], &[u8])]) {
        let wire = Wire::Two(fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect());
        self.0.push(Case { name: format!("{name} (HTTP/2 fields)"), wire, claims: Vec::new() });
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut table = Table::default();
    bytes(&mut table);
    duplicates(&mut table);
    sizes(&mut table);
    odd_values(&mut table);
    forgeries(&mut table);
    raw(&mut table);
    fields(&mut table);
    table.0
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn bearer(payload: impl AsRef<[u8]>) -> String {
    format!("Bearer eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

// === every byte in every place ===

fn bytes(table: &mut Table) {
    type Put = fn(&[u8]) -> Message;
    let places: [(&str, Put); 16] = [
        ("a header's value", |b| get("/").with("x-user-id", joined(&[b"a", b, b"z"]))),
        ("a header that is compared", |b| get("/").with("x-v", joined(&[b"ab", b, b"yz"]))),
        ("a header's name", |b| get("/").with(joined(&[b"x-", b, b"v"]), "1")),
        ("a cookie's value", |b| get("/").with("cookie", joined(&[b"uid=a", b, b"z; beta=", b]))),
        ("a cookie's name", |b| get("/").with("cookie", joined(&[b"ui", b, b"d=a; uid", b, b"=b; uid=c"]))),
        ("a quoted cookie", |b| get("/").with("cookie", joined(&[b"uid=\"a", b, b"\"; beta=\"1\""]))),
        ("a query's value", |b| get(joined(&[b"/?uid=a", b, b"z&q=", b]))),
        ("a query's name", |b| get(joined(&[b"/?ui", b, b"d=a&uid", b, b"=b"]))),
        ("an escape in a query", |b| get(joined(&[b"/?uid=a%", b, b"1%4", b, b"&%71=1"]))),
        ("the path", |b| get(joined(&[b"/shop/a", b, b"z"]))),
        ("the host", |b| Message { host: joined(&[b"a", b, b"z.shop.example"]), ..get("/") }),
        ("a token", |b| get("/").with("authorization", joined(&[b"Bearer e30.e3", b, b"0.c2ln"]))),
        ("a token's payload", |b| {
            get("/").with("authorization", bearer(joined(&[b"{\"sub\": \"a", b, b"z\", \"tier\": 3", b, b"}"])))
        }),
        ("the user agent", |b| get("/").with("user-agent", joined(&[b"Mobi", b, b"le Android iPad"]))),
        ("the inspection key", |b| get("/").with("x-tidegate-inspect", joined(&[b"let me", b, b"see"]))),
        ("a verified claim", |b| Message {
            claims: vec![("sub", joined(&[b"a", b, b"z"])), ("plan", b.to_vec())],
            ..get("/")
        }),
    ];
    for (place, put) in places {
        for byte in 0..=u8::MAX {
            table.both(format!("byte 0x{byte:02x} in {place}"), put(&[byte]));
        }
    }
}

// === none, one, many ===

fn duplicates(table: &mut Table) {
    let inspected: [(&str, &str); 9] = [
        ("x-user-id", "ana"),
        ("x-v", "5"),
        ("cookie", "uid=ana; beta=1"),
        ("cookie", "uid"),
        ("authorization", "Bearer e30.eyJzdWIiOiJhbmEifQ.c2ln"),
        ("user-agent", "Mobile"),
        ("sec-ch-ua-mobile", "?1"),
        ("x-tidegate-inspect", "let me see"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    for (name, value) in inspected {
        for count in 0..=100 {
            let message = get("/").times(count, name, |_| value.as_bytes().to_vec());
            table.add(&format!("{count} times {name}: {value}"), message, [true, count < 4 || count % 25 == 0]);
        }
        for count in [2, 3, 100] {
            let message = get("/").times(count, name, |n| format!("{value}{n}").into_bytes());
            table.both(format!("{count} different {name}: {value}"), message);
        }
    }
    for count in (0..=100).step_by(5) {
        let cookie = vec!["uid=ana"; count].join("; ");
        table.both(format!("{count} times a cookie in one header"), get("/").with("cookie", cookie));
        table.both(format!("{count} times a query"), get(format!("/?{}", vec!["uid=ana"; count].join("&"))));
    }
}

// === sizes ===

fn sizes(table: &mut Table) {
    for kib in [1, 2, 4, 7, 8, 16, 32, 63, 64] {
        let long = |byte: u8| vec![byte; kib * 1024];
        table.both(format!("a header of {kib} KiB"), get("/").with("x-user-id", long(b'a')));
        table.both(
            format!("a compared header of {kib} KiB"),
            get("/").with("x-v", [&b"ab"[..], &long(b'm'), b"yz"].concat()),
        );
        table.both(format!("a header of {kib} KiB of 0xff"), get("/").with("x-user-id", long(0xff)));
        table.both(format!("digits of {kib} KiB"), get("/").with("x-v", long(b'9')));
        table.both(format!("a version of {kib} KiB"), get("/").with("x-v", [&b"1.2."[..], &long(b'3')].concat()));
        table.both(format!("stars of {kib} KiB"), get("/").with("x-v", long(b'*')));
        table.both(format!("a user agent of {kib} KiB"), get("/").with("user-agent", long(b'm')));
        table.both(format!("a name of {kib} KiB"), get("/").with(long(b'x'), "1"));
        table.both(
            format!("a token of {kib} KiB"),
            get("/").with("authorization", [&b"Bearer a."[..], &long(b'e'), b".c"].concat()),
        );
        table.both(format!("a cookie of {kib} KiB"), get("/").with("cookie", [&b"uid="[..], &long(b'c')].concat()));
        table.both(
            format!("cookies of {kib} KiB and then one"),
            get("/").with("cookie", [&long(b'a')[..], b"; uid=x; beta=1"].concat()),
        );
        for (name, byte) in
            [("semicolons", b';'), ("equals signs", b'='), ("percent signs", b'%'), ("quotes", b'"'), ("blanks", b' ')]
        {
            table.both(
                format!("{name} of {kib} KiB in cookies"),
                get("/").with("cookie", [&b"uid="[..], &long(byte), b"; beta=1"].concat()),
            );
        }
        table.both(format!("a path of {kib} KiB"), get([&b"/"[..], &long(b'p')].concat()));
        table.both(format!("slashes of {kib} KiB"), get(long(b'/')));
        table.both(format!("a query of {kib} KiB"), get([&b"/?uid="[..], &long(b'q')].concat()));
        for (name, byte) in [("ampersands", b'&'), ("question marks", b'?'), ("percent signs", b'%'), ("pluses", b'+')]
        {
            table.both(format!("{name} of {kib} KiB in a query"), get([&b"/?uid="[..], &long(byte), b"&q=1"].concat()));
        }
        let host = Message { host: [&long(b'h')[..], b".shop.example"].concat(), ..get("/") };
        table.both(format!("a host of {kib} KiB"), host);
    }
    for count in [10, 100, 200, 500] {
        table.both(format!("{count} headers"), (0..count).fold(get("/"), |m, n| m.with(format!("x-h-{n}"), "1")));
        table.both(
            format!("{count} names that begin as an owned one"),
            (0..count).fold(get("/"), |m, n| m.with(format!("x-flag-unknown-{n}"), "1")),
        );
        table.both(
            format!("{count} cookies"),
            get("/").with("cookie", (0..count).map(|n| format!("c{n}={n}; ")).collect::<String>()),
        );
        table.both(
            format!("{count} queries"),
            get(format!("/?{}", (0..count).map(|n| format!("c{n}={n}&")).collect::<String>())),
        );
    }
}

// === values that are not what they should be ===

fn odd_values(table: &mut Table) {
    for cookie in values::COOKIES {
        table.both(format!("cookie {cookie:?}"), get("/").with("cookie", cookie));
        table.both(format!("cookies {cookie:?} and uid=x"), get("/").with("cookie", cookie).with("cookie", "uid=x"));
    }
    for query in values::QUERIES {
        table.both(format!("query {query:?}"), get(format!("/{query}")));
    }
    for path in values::PATHS {
        table.both(format!("path {path:?}"), get(path));
    }
    for host in values::HOSTS {
        table.both(format!("host {host:?}"), Message { host: host.as_bytes().to_vec(), ..get("/shop/x") });
    }
    let deep =
        |open: &str, close: &str, depth: usize| format!("{{\"sub\": {}1{}}}", open.repeat(depth), close.repeat(depth));
    for payload in values::PAYLOADS {
        table.both(format!("token with {payload:?}"), get("/").with("authorization", bearer(payload)));
    }
    for depth in [10, 15, 16, 17, 100, 127, 128, 129, 1_000, 5_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[", ""), ("{\"a\":", "")] {
            let token = bearer(deep(open, close, depth));
            table.both(format!("token {depth} deep in {open}{close}"), get("/").with("authorization", token));
        }
    }
    let many =
        |count: usize| format!("{{{}\"sub\": 1}}", (0..count).map(|n| format!("\"k{n}\":1,")).collect::<String>());
    for count in [100, 1_000] {
        table.both(format!("token with {count} claims"), get("/").with("authorization", bearer(many(count))));
    }
    let dots = |count: usize| format!("Bearer {}", ".".repeat(count));
    for count in [0, 1, 2, 3, 4, 100, 10_000] {
        table.both(format!("token of {count} dots"), get("/").with("authorization", dots(count)));
        let parts = vec!["e30"; count + 1].join(".");
        table.both(format!("token with {count} dots"), get("/").with("authorization", format!("Bearer {parts}")));
    }
    for value in values::AUTHORIZATIONS {
        table.both(format!("authorization {value:?}"), get("/").with("authorization", value));
    }
    for value in values::VALUES {
        table.both(format!("x-v {value:?}"), get("/").with("x-v", value));
        table.both(format!("x-user-id {value:?}"), get("/").with("x-user-id", value));
    }
    for agent in values::AGENTS {
        for hint in ["", "?0", "?1", "?2", "1", "?1, ?0", "?1;x"] {
            table.both(
                format!("agent {agent:?} hint {hint:?}"),
                get("/").with("user-agent", agent).with("sec-ch-ua-mobile", hint),
            );
        }
    }
    for (name, claim) in values::CLAIMS {
        table.both(
            format!("a claim: {name}"),
            Message { claims: vec![("sub", claim.to_vec()), ("plan", claim.to_vec())], ..get("/") },
        );
    }
}

// === what belongs to the filter ===

/// The headers that the filter writes or owns under the config of the suite.
pub const OWNED: [&str; 9] = [
    "x-flags",
    "x-upstream-version",
    "x-canary",
    "x-pool",
    "x-flag-checkout",
    "x-flag-cookie",
    "x-flag-never",
    "x-flag-by-header",
    "x-tidegate-route",
];

fn forgeries(table: &mut Table) {
    for name in OWNED {
        let mut spellings: Vec<String> = vec![
            name.into(),
            name.to_ascii_uppercase(),
            name.replace('-', "_"),
            name.to_ascii_uppercase().replace('-', "_"),
        ];
        spellings.push(
            name.split('-')
                .map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]))
                .collect::<Vec<_>>()
                .join("-"),
        );
        spellings
            .push(name.chars().enumerate().map(|(n, c)| if n % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect());
        let dashes: Vec<usize> = name.match_indices('-').map(|(at, _)| at).collect();
        spellings.extend(dashes.iter().map(|at| format!("{}_{}", &name[..*at], &name[at + 1..])));
        spellings.sort();
        spellings.dedup();
        for spelling in &spellings {
            for count in [1, 2, 3, 10, 100] {
                let message =
                    get("/").with("x-user-id", "ana").times(count, spelling, |n| format!("forged-{n}").into_bytes());
                table.both(format!("{count} times {spelling}"), message);
            }
            table.first(
                format!("{spelling} in connection"),
                get("/").with("connection", spelling).with(spelling, "forged"),
            );
        }
        let all = spellings.iter().fold(get("/"), |message, spelling| message.with(spelling, "forged"));
        table.both(format!("all spellings of {name}"), all);
    }
    let everything = OWNED
        .iter()
        .fold(get("/"), |message, name| message.with(name, "forged").with(name.replace('-', "_"), "forged"));
    table.both("everything forged", everything);
}

// === what only raw bytes can say ===

fn raw(table: &mut Table) {
    for (name, bytes) in values::REQUESTS {
        table.raw(name, bytes);
    }
    for (name, header) in values::HEADERS {
        table.raw(
            name,
            joined(&[b"GET /shop/x HTTP/1.1\r\nhost: shop.example\r\nx-request-id: raw\r\n", *header, b"\r\n"]),
        );
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "get", "GET\t", "PRI"] {
        let request = format!(
            "{method} /shop/x HTTP/1.1\r\nhost: shop.example\r\nx-request-id: raw\r\ncontent-length: 0\r\nx-flag-checkout: v2\r\n\r\n"
        );
        table.raw(&format!("method {method:?}"), request);
    }
}

// === what only HTTP/2 can say ===

fn fields(table: &mut Table) {
    let start: [(&[u8], &[u8]); 5] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"shop.example"),
        (b":path", b"/shop/x"),
        (b"x-request-id", b"fields"),
    ];
    let more: [(&str, &[(&[u8], &[u8])]); 22] = [
        ("two paths", &[(b":path", b"/other")]),
        ("two methods", &[(b":method", b"POST")]),
        ("an unknown pseudo-header", &[(b":flag", b"v2")]),
        ("a response's pseudo-header", &[(b":status", b"200")]),
        ("a host beside the authority", &[(b"host", b"other.example")]),
        ("cookies in crumbs", &[(b"cookie", b"uid=a"), (b"cookie", b"beta=1"), (b"cookie", b"x")]),
        ("a cookie in crumbs twice", &[(b"cookie", b"uid=a"), (b"cookie", b"uid=b")]),
        ("an upper-case name", &[(b"X-Flag-Checkout", b"v2")]),
        ("an upper-case letter", &[(b"x-flag-Checkout", b"v2")]),
        ("a twin", &[(b"x_flag_checkout", b"v2")]),
        ("a name with a blank", &[(b"x-flag-checkout ", b"v2")]),
        ("a name with a colon", &[(b"x-flag-checkout:", b"v2")]),
        ("an empty name", &[(b"", b"v2")]),
        ("a line break in a value", &[(b"x-user-id", b"a\r\nx-flag-checkout: v2")]),
        ("a line break in a name", &[(b"x-a: b\r\nx-flag-checkout", b"v2")]),
        ("a NUL in a value", &[(b"x-user-id", b"a\0b")]),
        ("connection", &[(b"connection", b"x-flag-checkout")]),
        ("transfer-encoding", &[(b"transfer-encoding", b"chunked")]),
        ("te", &[(b"te", b"gzip")]),
        ("te: trailers", &[(b"te", b"trailers")]),
        ("a length without a body", &[(b"content-length", b"5")]),
        ("owned headers", &[(b"x-flag-checkout", b"v2"), (b"x-flags", b"checkout=v2"), (b"x-upstream-version", b"v2")]),
    ];
    for (name, more) in more {
        table.fields(name, &[&start[..], more].concat());
    }
    for (at, (gone, _)) in start.iter().enumerate() {
        let rest: Vec<_> = start.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, field)| *field).collect();
        table.fields(&format!("no {}", String::from_utf8_lossy(gone)), &rest);
    }
    let mut late = start.to_vec();
    late.rotate_left(1);
    table.fields("a pseudo-header behind a header", &late);
    table.fields("CONNECT", &[(b":method", b"CONNECT"), (b":authority", b"shop.example:80")]);
    table.fields("nothing", &[]);
}
