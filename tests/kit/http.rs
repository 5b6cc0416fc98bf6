//! Turns a request into bytes on a kept-alive HTTP/1.1 connection, and the bytes that come back into a response.
//!
//! Header names and values are bytes and go out in the order, the case and the number in which they were given:
//! a test can send what no well-behaved client would. Never follows a redirect, never adds a header but `host` and
//! `content-length`, and never waits longer than ten seconds.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a read or a write may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many requests [`Client::pipeline`] keeps on the way: enough to hide the round trip, few enough that
/// neither side's socket buffer can fill up while the other one waits.
const IN_FLIGHT: usize = 32;

/// A request, built up header by header.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, `GET` unless said otherwise.
    pub method: String,
    /// The request target: path and query.
    pub path: Vec<u8>,
    /// The value of the `host` header.
    pub host: Vec<u8>,
    /// All other headers, in order, with duplicates.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body; `content-length` is sent when it is not empty.
    pub body: Vec<u8>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, path: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.as_ref().to_vec(),
            host: b"shop.example".to_vec(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A `GET`.
    pub fn get(path: impl AsRef<[u8]>) -> Self {
        Self::new("GET", path)
    }

    /// Replaces the host.
    pub fn host(mut self, host: impl AsRef<[u8]>) -> Self {
        self.host = host.as_ref().to_vec();
        self
    }

    /// Appends a header; an equal name before it stays.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(&self.path);
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(&self.host);
        for (name, value) in &self.headers {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
        }
        if !self.body.is_empty() {
            out.extend_from_slice(format!("\r\ncontent-length: {}", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&self.body);
    }
}

/// A response; header names in lower case, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers, with duplicates.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, with any chunking taken off.
    pub body: Vec<u8>,
}

impl Response {
    /// The only value of a header as text; none if it is absent.
    ///
    /// Panics if it came more than once or is not UTF-8: then the test should look at [`Response::all`].
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        every(&self.headers, name)
    }

    /// The body as text, with a mark for each byte that is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the answering version of the upstream says about the request that it got.
    ///
    /// Panics if the answer did not come from one of the harness's upstreams.
    #[track_caller]
    pub fn upstream(&self) -> Upstream {
        let parse = || -> Option<Upstream> {
            let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
            let version = body.get("version")?.as_str()?.to_owned();
            let mut headers = Vec::new();
            for pair in body.get("headers")?.as_array()? {
                let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
                headers.push((name.to_owned(), bytes_of(value)?));
            }
            Some(Upstream { version, headers })
        };
        match parse() {
            Some(upstream) => upstream,
            None => panic!("no upstream answered, but: {} {}", self.status, self.text()),
        }
    }
}

/// The request as the upstream got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The version that answered.
    pub version: String,
    /// All headers, in order, with duplicates; `:method`, `:path`, `:authority` and `:scheme` among them.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Upstream {
    /// The only value of a header as text; none if it is absent. Panics as [`Response::header`] does.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        every(&self.headers, name)
    }
}

#[track_caller]
fn only<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    match every(headers, name).as_slice() {
        [] => None,
        [value] => Some(std::str::from_utf8(value).unwrap_or_else(|_| panic!("{name} is not UTF-8: {value:?}"))),
        more => panic!("{name} came {} times", more.len()),
    }
}

fn every<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice()).collect()
}

/// The upstream writes each byte above 0x7f as the character of that number.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

/// One connection to one address, opened when it is needed and again when the server has closed it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// Bytes that were read and not yet taken by a response.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Client {
    /// A client for `127.0.0.1:port`. Nothing is sent before the first request.
    pub fn new(port: u16) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// A client for any address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, stream: None, input: Vec::new(), output: Vec::new() }
    }

    /// Sends a request and waits for its response; panics if there is none.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Response {
        let path = String::from_utf8_lossy(&request.path).into_owned();
        self.try_send(request).unwrap_or_else(|error| panic!("{} {path} on {}: {error}", request.method, self.address))
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    /// When the server cannot be reached, closes the connection, takes more than ten seconds, or answers in
    /// something that is not HTTP/1.1.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        self.output.clear();
        request.write_to(&mut self.output);
        self.exchange(request.method == "HEAD")
    }

    /// Sends bytes as they are, and waits for one response.
    ///
    /// # Errors
    /// As [`Client::try_send`].
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<Response> {
        self.output.clear();
        self.output.extend_from_slice(bytes);
        self.exchange(bytes.starts_with(b"HEAD "))
    }

    /// Sends all requests over the one connection without waiting for each, and gives each response with its
    /// number, in order. Not for `HEAD`.
    ///
    /// # Panics
    /// When any request gets no response.
    #[track_caller]
    pub fn pipeline(&mut self, requests: impl IntoIterator<Item = Request>, mut each: impl FnMut(usize, Response)) {
        let mut requests = requests.into_iter();
        let mut done = 0;
        loop {
            self.output.clear();
            let sent = requests.by_ref().take(IN_FLIGHT).map(|request| request.write_to(&mut self.output)).count();
            if sent == 0 {
                return;
            }
            for first in std::iter::once(true).chain(std::iter::repeat(false)).take(sent) {
                let response = if first { self.exchange(false) } else { self.read_response(false) };
                each(done, response.unwrap_or_else(|error| panic!("request {done} on {}: {error}", self.address)));
                done += 1;
            }
        }
    }

    /// Writes `output` and reads one response; once more on a new connection if a kept one turns out to be closed.
    fn exchange(&mut self, head: bool) -> io::Result<Response> {
        let kept = self.stream.is_some();
        match self.write().and_then(|()| self.read_response(head)) {
            Err(error) if kept && self.input.is_empty() && is_closed(&error) => {
                self.close();
                self.write().and_then(|()| self.read_response(head))
            }
            other => other,
        }
        .inspect_err(|_| self.close())
    }

    fn close(&mut self) {
        self.stream = None;
        self.input.clear();
    }

    fn write(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or(ErrorKind::NotConnected)?.write_all(&self.output)
    }

    /// Reads more bytes, and says how many.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?.read(&mut chunk)?;
        self.input.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    fn need(&mut self, bytes: usize) -> io::Result<()> {
        while self.input.len() < bytes {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    fn read_response(&mut self, head: bool) -> io::Result<Response> {
        let (length, mut response) = loop {
            if let Some(parsed) = parse_head(&self.input)? {
                break parsed;
            }
            self.need(self.input.len() + 1)?;
        };
        self.input.drain(..length);
        let bodiless = head || response.status == 204 || response.status == 304;
        response.body = if bodiless {
            Vec::new()
        } else if response.all("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case(b"chunked")) {
            self.read_chunks()?
        } else if let Some(&length) = response.all("content-length").first() {
            let length = number(length, 10).ok_or_else(|| malformed("content-length"))?;
            self.need(length)?;
            self.input.drain(..length).collect()
        } else {
            while self.fill()? > 0 {}
            self.stream = None;
            std::mem::take(&mut self.input)
        };
        if response.all("connection").iter().any(|value| value.eq_ignore_ascii_case(b"close")) {
            self.close();
        }
        Ok(response)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = line.split(|&byte| byte == b';').next().and_then(|size| number(size, 16));
            let size = size.ok_or_else(|| malformed("chunk size"))?;
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            self.need(size + 2)?;
            body.extend_from_slice(&self.input[..size]);
            self.input.drain(..size + 2);
        }
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.input[..end].to_vec();
                self.input.drain(..end + 2);
                return Ok(line);
            }
            self.need(self.input.len() + 1)?;
        }
    }
}

/// The head of a response and its length; none while it is not all there.
fn parse_head(input: &[u8]) -> io::Result<Option<(usize, Response)>> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut parser = httparse::Response::new(&mut headers);
    match parser.parse(input).map_err(|error| malformed(&error.to_string()))? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let status = parser.code.ok_or_else(|| malformed("no status"))?;
            let headers = parser.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect();
            Ok(Some((length, Response { status, headers, body: Vec::new() })))
        }
    }
}

fn number(text: &[u8], radix: u32) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(text).ok()?.trim(), radix).ok()
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("malformed response: {what}"))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
