//! A version's part of an ending: takes connections, and does on each what a script says.
//!
//! HTTP/1.1 and HTTP/2 by hand: what breaks, breaks where the script wants it.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use kit::h2::Connection;

/// What a version does with its n-th connection. Closed is closed when the script is over.
#[derive(Clone, Copy)]
pub enum Upstream {
    One(fn(&mut One, usize) -> io::Result<()>),
    Two(fn(&mut Connection, usize) -> io::Result<()>),
}

/// The server's side of a connection of HTTP/1.1.
pub struct One(pub TcpStream);

impl One {
    /// Takes the head of a request.
    pub fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// Takes a chunked body and its trailers.
    pub fn chunks(&mut self) -> io::Result<String> {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") || !body.windows(5).any(|part| part == b"\r\n0\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            body.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    pub fn say(&mut self, bytes: &str) -> io::Result<()> {
        self.0.write_all(bytes.as_bytes())
    }

    /// Says nothing more, until the other side closes.
    pub fn hang(&mut self) -> io::Result<()> {
        while self.0.read(&mut [0; 1024])? > 0 {}
        Ok(())
    }
}

/// A whole answer of HTTP/1.1 with this status.
pub fn whole(status: u16) -> String {
    format!("HTTP/1.1 {status} OK\r\ncontent-length: 5\r\n\r\nhello")
}

pub fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// A cluster whose one endpoint follows the script, on a port of its own.
pub fn cluster(name: &str, upstream: Upstream) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    // Ends with this program: the listener is its own.
    thread::spawn(move || {
        for (n, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                match upstream {
                    Upstream::One(script) => script(&mut One(stream), n),
                    Upstream::Two(script) => script(&mut Connection::accept(stream)?, n),
                }
            });
        }
    });
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let mut cluster = json!({
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    });
    let protocol = match upstream {
        Upstream::One(_) => json!({"http_protocol_options": {"enable_trailers": true}}),
        Upstream::Two(_) => json!({"http2_protocol_options": {}}),
    };
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": protocol,
        },
    });
    cluster
}
