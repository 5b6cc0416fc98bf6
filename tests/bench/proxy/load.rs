//! Both ends of a busy proxy: a client with a request on the way on each of many connections, and an upstream.
//!
//! HTTP/1.1 as far as the two need it: requests have no body, answers have a `content-length`. The upstream does as good
//! as nothing, so that it is the proxy which is busy.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
    server: shop\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: 15\r\n\r\n{\"items\": [7]}\n";

/// Answers all requests that come over this socket, as long as the program runs.
pub fn answer_on(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("a socket in a new folder");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_all(stream));
        }
    });
}

/// Until the proxy is gone.
fn answer_all(mut stream: UnixStream) {
    let (mut input, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        input.extend_from_slice(&chunk[..count]);
        if input.ends_with(b"\r\n\r\n") {
            input.clear();
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

/// Enough that the proxy never waits for the upstream.
const CONNECTIONS: usize = 16;

/// One request as bytes, for the user of this number.
pub fn request(user: usize) -> Vec<u8> {
    format!(
        "GET /api/cart?item=7 HTTP/1.1\r\nhost: shop.example\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         accept: */*\r\naccept-language: en-US,en;q=0.5\r\ncookie: session=0123456789abcdef; theme=dark\r\n\
         x-country: DE\r\nx-user-id: user-{user}\r\n\r\n"
    )
    .into_bytes()
}

/// A connection that sends and receives one at a time.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
        Self { stream, input: Vec::with_capacity(16 * 1024) }
    }

    pub fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the proxy takes requests");
    }

    /// Waits for one answer, and gives its status.
    pub fn receive(&mut self) -> u16 {
        loop {
            if let Some((status, length)) = answer(&self.input) {
                self.input.drain(..length);
                return status;
            }
            self.fill().expect("the proxy answers");
        }
    }

    /// What a look at the connection gives when something has come: the status of an answer that is complete.
    pub fn receive_what_is_there(&mut self) -> Option<u16> {
        self.fill().expect("the proxy answers");
        let (status, length) = answer(&self.input)?;
        self.input.drain(..length);
        Some(status)
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn fill(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.input.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }
}

/// The status of the first answer and the length of it all; none while it is not complete.
fn answer(input: &[u8]) -> Option<(u16, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(input).expect("HTTP") else { return None };
    let body = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body: usize = std::str::from_utf8(body.expect("a length").value).ok()?.parse().expect("a number");
    (input.len() >= head + body).then_some((response.code?, head + body))
}

/// Connections to one proxy, which are kept.
pub struct Load(Vec<Connection>);

impl Load {
    pub fn open(port: u16) -> Self {
        Self((0..CONNECTIONS).map(|_| Connection::open(port)).collect())
    }

    /// Sends this many requests, each as soon as its connection is free, and returns when all are answered.
    pub fn run(&mut self, requests: &[Vec<u8>]) {
        let mut rest = requests.iter();
        let mut waiting: Vec<bool> = Vec::new();
        for connection in &mut self.0 {
            waiting.push(rest.next().inspect(|request| connection.send(request)).is_some());
        }
        while waiting.contains(&true) {
            for (connection, waiting) in self.0.iter_mut().zip(&mut waiting) {
                if *waiting {
                    assert_eq!(connection.receive(), 200);
                    *waiting = rest.next().inspect(|request| connection.send(request)).is_some();
                }
            }
        }
    }
}
