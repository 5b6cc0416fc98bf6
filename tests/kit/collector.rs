//! Turns what a proxy reports to a collector of spans into values: Zipkin's JSON over HTTP/1.1, on a port of its own.
//!
//! It takes whatever comes and answers 202, for as long as the test runs. Never looks into a span: that is the test's.

use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// The name of the collector's cluster.
pub const CLUSTER: &str = "collector";

/// How long a proxy may take to report a span.
const PATIENCE: Duration = Duration::from_secs(20);

/// A collector, and the spans that it was sent.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    spans: Receiver<Value>,
}

impl Collector {
    /// Opens a port and listens.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let (sender, spans) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || drop(serve(stream, &sender)));
            }
        });
        Self { port, spans }
    }

    /// The cluster that leads here.
    pub fn cluster(&self) -> Value {
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": self.port}});
        let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
        json!({"name": CLUSTER, "load_assignment": {"cluster_name": CLUSTER, "endpoints": endpoints}})
    }

    /// The next span.
    #[track_caller]
    pub fn span(&self) -> Value {
        self.spans.recv_timeout(PATIENCE).expect("a span was reported")
    }
}

/// Reads reports until the connection ends.
fn serve(mut stream: TcpStream, spans: &Sender<Value>) -> io::Result<()> {
    let mut input = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        while let Some((body, rest)) = report(&input) {
            let list: Vec<Value> = serde_json::from_slice(&body).expect("a report is a list in JSON");
            for span in list {
                drop(spans.send(span));
            }
            input = rest;
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        input.extend_from_slice(&chunk[..count]);
    }
}

/// The body of the first request, with the chunking taken off, and what stands behind it; `None` while it is not whole.
fn report(input: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(input).expect("the head is one of HTTP/1.1") else {
        return None;
    };
    let value = |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let mut rest = input.get(head..)?;
    if let Some(length) = value("content-length") {
        let length: usize = std::str::from_utf8(length.value).expect("text").parse().expect("a number");
        return Some((rest.get(..length)?.to_vec(), rest.get(length..)?.to_vec()));
    }
    assert!(value("transfer-encoding").is_some(), "a report has a body: {request:?}");
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((head, size)) = httparse::parse_chunk_size(rest).expect("a chunk") else {
            return None;
        };
        let end = head + usize::try_from(size).expect("a small one");
        body.extend_from_slice(rest.get(head..end)?);
        // Each chunk ends with a line break.
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some((body, rest.to_vec()));
        }
    }
}
