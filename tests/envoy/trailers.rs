//! Sends what no client may as trailers: over HTTP/1.1, HTTP/2 and gRPC, to upstreams that speak either.
//!
//! Services that read trailers as if they were headers would believe them. Never looks at what is decided.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use kit::envoy::Envoy;
use kit::h2::{Answer, Connection, Field};
use kit::scene::Scene;
use serde_json::{Value, json};

/// A config that owns names of every kind.
fn config() -> String {
    json!({
        "version": 1, "dictionary": true, "telemetry": {"baggage": true},
        "inspect": {"header": "x-tidegate-inspect", "equals": "1"},
        "identity": [{"header": "x-user-id"}],
        "flags": {
            "checkout": {
                "route": {"header": "x-upstream-version"}, "baseline": "v1",
                "variants": ["v1", {"name": "v2", "headers": {"X-Canary": "1"}}],
                "rules": [{"percent": 50, "serve": "v2"}],
            },
            "new-nav": {"header": "X-Nav", "rules": [{"percent": 50, "serve": "on"}]},
            "plain": {"rules": [{"serve": "on"}]},
        },
    })
    .to_string()
}

/// The names that are the filter's under that config.
const OWNED: [&str; 7] =
    ["x-upstream-version", "x-canary", "x-nav", "x-flag-plain", "x-flag-checkout", "x-flags", "baggage"];

/// Owned names in every spelling that HTTP/2 lets through, each twice, and others between them.
fn forged() -> Vec<Field> {
    let spellings = OWNED.iter().flat_map(|name| {
        let dashes = name.match_indices('-').map(|(at, _)| format!("{}_{}", &name[..at], &name[at + 1..]));
        [(*name).to_owned(), name.replace('-', "_")].into_iter().chain(dashes)
    });
    let mut fields: Vec<Field> = vec![(b"x-before".to_vec(), b"stays".to_vec())];
    for name in spellings {
        for n in 0..2 {
            fields.push((name.clone().into_bytes(), format!("forged-{n}").into_bytes()));
        }
    }
    // Names that only look alike.
    for name in ["x-flag", "x-flag-other", "x-canary2", "y-flags", "x-after"] {
        fields.push((name.as_bytes().to_vec(), b"stays".to_vec()));
    }
    fields
}

/// An upstream that speaks HTTP/1.1, and answers with the trailers that it got.
fn by_hand() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || while answer(&mut stream).is_ok() {});
        }
    });
    port
}

/// Takes one request with a chunked body, and answers it.
fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !(request.ends_with(b"\r\n\r\n") && request.windows(5).any(|end| end == b"\r\n0\r\n")) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&request);
    let (_, trailers) = text.split_once("\r\n0\r\n").unwrap();
    let trailers: Vec<_> = trailers.lines().filter_map(|line| line.split_once(": ")).collect();
    let body = json!({"trailers": trailers}).to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The proxy, with an upstream that speaks HTTP/1.1 or HTTP/2 and keeps trailers.
fn scene(config: String, http2: bool) -> Envoy {
    let kept = json!({"http_protocol_options": {"enable_trailers": true}});
    let scene = Scene::new(config).fields(kept.clone());
    if http2 {
        return scene.edit(over_http2).start();
    }
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": by_hand()}});
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
    let mut cluster = json!({"name": "one", "load_assignment": {"cluster_name": "one", "endpoints": endpoints}});
    speaks(&mut cluster, &kept);
    scene.cluster(cluster).routes(json!([{"match": {"prefix": "/"}, "route": {"cluster": "one"}}])).start()
}

fn over_http2(bootstrap: &mut Value) {
    for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
        speaks(cluster, &json!({"http2_protocol_options": {}}));
    }
}

fn speaks(cluster: &mut Value, protocol: &Value) {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let kind = format!("type.googleapis.com/{options}");
    cluster["typed_extension_protocol_options"] = json!({options: {"@type": kind, "explicit_http_config": protocol}});
}

/// The trailers with which the upstream got a request, in order and sorted.
fn arrived(body: &[u8]) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(body)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fields = body["trailers"].as_array().into_iter().flatten();
    let mut fields: Vec<_> = fields.map(|field| (text(&field[0]), text(&field[1]))).collect();
    fields.sort();
    fields
}

fn over_two(envoy: &Envoy, grpc: bool, trailers: &[Field]) -> Vec<(String, String)> {
    let mut connection = Connection::open(envoy.port("ingress")).unwrap();
    let mut headers = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/shop.Cart/Add"),
        ("x-user-id", "ana"),
    ];
    if grpc {
        headers.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    }
    let headers: Vec<Field> =
        headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    let id = connection.request(&headers, false).unwrap();
    connection.data(id, &[0; 5], false).unwrap();
    connection.headers(id, trailers, true).unwrap();
    match connection.answer(id).unwrap() {
        Answer::Whole(200, body) => arrived(&body),
        other => panic!("{other:?}"),
    }
}

fn over_one(envoy: &Envoy, trailers: &[Field]) -> Vec<(String, String)> {
    let mut bytes =
        b"POST / HTTP/1.1\r\nhost: shop.example\r\nx-user-id: ana\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    bytes.extend_from_slice(b"5\r\nhello\r\n0\r\n");
    for (name, value) in trailers {
        bytes.extend_from_slice(&[&name.to_ascii_uppercase(), &b": "[..], value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    let response = envoy.client().raw(&bytes).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    arrived(&response.body)
}

fn kept(owned: &[&str]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let all = forged().into_iter().map(|(name, value)| (text(name), text(value)));
    let mut kept: Vec<_> = all.filter(|(name, _)| !owned.contains(&&*name.replace('_', "-"))).collect();
    kept.sort();
    kept
}

#[test]
fn no_name_of_the_filter_s_comes_through_as_a_trailer() {
    let sent = forged();
    assert!(sent.len() > 40, "{}", sent.len());
    for http2 in [false, true] {
        let envoy = scene(config(), http2);
        let kept = kept(&OWNED);
        assert_eq!(over_two(&envoy, false, &sent), kept, "HTTP/2, upstream of HTTP/2: {http2}");
        if !http2 {
            // Envoy's own upstreams answer a call without a body.
            assert_eq!(over_two(&envoy, true, &sent), kept, "gRPC");
        }
        assert_eq!(over_one(&envoy, &sent), kept, "HTTP/1.1, upstream of HTTP/2: {http2}");
        // Where nothing is left, the request ends all the same.
        let only: Vec<Field> = sent.iter().filter(|(_, value)| value.starts_with(b"forged")).cloned().collect();
        assert_eq!(over_two(&envoy, false, &only), [], "upstream of HTTP/2: {http2}");
        assert_eq!(over_one(&envoy, &only), [], "upstream of HTTP/2: {http2}");
        let forged = u64::try_from(only.len()).unwrap() * if http2 { 4 } else { 5 };
        let counted = envoy.poll("the count of what was forged", || {
            envoy.stat("wasmcustom.tidegate.forged.headers_total").filter(|count| *count >= forged)
        });
        assert_eq!(counted, forged);
    }
}

#[test]
fn not_even_while_there_is_no_config() {
    let envoy = scene("{}".into(), false);
    let flags = ["x-flag-plain", "x-flag-checkout", "x-flags", "x-flag", "x-flag-other"];
    assert_eq!(over_two(&envoy, true, &forged()), kept(&flags));
}
