//! Writes HTTP/2 by hand, so that a test can send what no library would: any byte in any name and value, and any frame
//! at any time.
//!
//! A [`Connection`] is either side of one, frame by frame; a [`Client`] sends whole requests, one stream at a time.
//! Headers go out as HPACK literals without Huffman codes and without an index; of what comes back only the status
//! and the body are read. Never waits longer than ten seconds.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The largest frame that a peer must take.
const FRAME: usize = 16 * 1024;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A name and a value.
pub type Field = (Vec<u8>, Vec<u8>);

/// What came back for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole response.
    Whole(u16, Vec<u8>),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was ended, with this code if there was one.
    Gone(Option<u32>),
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Whether its side of the stream says no more.
    pub fn ends(&self) -> bool {
        matches!(self.kind, HEADERS | DATA) && self.flags & END_STREAM != 0
    }
}

/// One side of a connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    last: Option<u32>,
}

impl Connection {
    /// A client's side.
    ///
    /// # Errors
    /// When nobody listens on `127.0.0.1:port`.
    pub fn open(port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        patient(&stream)?;
        stream.write_all(PREFACE)?;
        Self::greet(stream)
    }

    /// A server's side of a connection that was taken.
    ///
    /// # Errors
    /// When the client does not speak HTTP/2.
    pub fn accept(mut stream: TcpStream) -> io::Result<Self> {
        patient(&stream)?;
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface)?;
        if preface == PREFACE { Self::greet(stream) } else { Err(ErrorKind::InvalidData.into()) }
    }

    fn greet(stream: TcpStream) -> io::Result<Self> {
        let mut connection = Self { stream, last: None };
        // No dynamic table, and a window that no answer fills.
        let settings = [(1_u16, 0_u32), (4, 0x7fff_ffff)];
        let settings: Vec<u8> =
            settings.iter().flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        connection.frame(SETTINGS, 0, 0, &settings)?;
        connection.frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes())?;
        Ok(connection)
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        frame(&mut out, kind, flags, stream, payload);
        self.stream.write_all(&out)
    }

    /// Begins a request; the number of its stream.
    ///
    /// # Errors
    /// As [`Connection::frame`].
    pub fn request(&mut self, headers: &[Field], end: bool) -> io::Result<u32> {
        let id = self.last.map_or(1, |last| last + 2);
        self.last = Some(id);
        self.headers(id, headers, end)?;
        Ok(id)
    }

    /// Sends headers or trailers.
    ///
    /// # Errors
    /// As [`Connection::frame`].
    pub fn headers(&mut self, id: u32, headers: &[Field], end: bool) -> io::Result<()> {
        let block = hpack(headers);
        let (first, mut rest) = block.split_at(block.len().min(FRAME));
        let mut out = Vec::new();
        let end = if end { END_STREAM } else { 0 };
        frame(&mut out, HEADERS, end | if rest.is_empty() { END_HEADERS } else { 0 }, id, first);
        while !rest.is_empty() {
            let (part, more) = rest.split_at(rest.len().min(FRAME));
            frame(&mut out, CONTINUATION, if more.is_empty() { END_HEADERS } else { 0 }, id, part);
            rest = more;
        }
        self.stream.write_all(&out)
    }

    /// Sends a part of a body.
    ///
    /// # Errors
    /// As [`Connection::frame`].
    pub fn data(&mut self, id: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        self.frame(DATA, if end { END_STREAM } else { 0 }, id, bytes)
    }

    /// Resets a stream.
    ///
    /// # Errors
    /// As [`Connection::frame`].
    pub fn reset(&mut self, id: u32, code: u32) -> io::Result<()> {
        self.frame(RST_STREAM, 0, id, &code.to_be_bytes())
    }

    /// Sends bytes that need not be a frame.
    ///
    /// # Errors
    /// As [`Connection::frame`].
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for a frame that is not about the connection itself; those are answered.
    ///
    /// # Errors
    /// When there is none in time, or the connection is closed.
    pub fn read(&mut self) -> io::Result<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
            self.stream.read_exact(&mut payload)?;
            let (kind, flags) = (head[3], head[4]);
            match kind {
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload)?,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => {
                    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
                    return Ok(Frame { kind, flags, stream, payload });
                }
            }
        }
    }

    /// Waits for the end of a stream's other side; the number of the stream.
    ///
    /// # Errors
    /// As [`Connection::read`].
    pub fn whole(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.read()?;
            if frame.ends() {
                return Ok(frame.stream);
            }
        }
    }
}

fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// A connection, opened when it is needed.
#[derive(Debug)]
pub struct Client {
    port: u16,
    open: Option<Connection>,
}

impl Client {
    /// A client for `127.0.0.1:port`.
    pub fn new(port: u16) -> Self {
        Self { port, open: None }
    }

    /// Sends these headers, pseudo-headers among them, as one request, and waits for what becomes of it.
    ///
    /// # Errors
    /// When there is no answer of any kind in time.
    pub fn send(&mut self, headers: &[Field]) -> io::Result<Answer> {
        let mut connection = self.open.take().map_or_else(|| Connection::open(self.port), Ok)?;
        match exchange(&mut connection, headers) {
            Ok(answer) => {
                if !matches!(answer, Answer::Gone(_)) {
                    self.open = Some(connection);
                }
                Ok(answer)
            }
            Err(error) if is_closed(&error) => Ok(Answer::Gone(None)),
            Err(error) => Err(error),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn exchange(connection: &mut Connection, headers: &[Field]) -> io::Result<Answer> {
    let id = connection.request(headers, true)?;
    connection.answer(id)
}

impl Connection {
    /// Waits for what becomes of a request.
    ///
    /// # Errors
    /// As [`Connection::read`].
    pub fn answer(&mut self, id: u32) -> io::Result<Answer> {
        let (mut status, mut body, mut block) = (None, Vec::new(), Vec::new());
        loop {
            let mut frame = self.read()?;
            let ends = frame.ends();
            let Frame { kind, flags, stream, ref mut payload } = frame;
            let of_ours = stream == id;
            match kind {
                GOAWAY => {
                    let code = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")));
                    return Ok(Answer::Gone(code));
                }
                RST_STREAM if of_ours => {
                    let code = frame.payload.try_into().map(u32::from_be_bytes).unwrap_or_default();
                    return Ok(match status {
                        // An answer that is complete before the request was read.
                        Some(status) => Answer::Whole(status, body),
                        None => Answer::Reset(code),
                    });
                }
                HEADERS | CONTINUATION if of_ours => {
                    let padding = if flags & PADDED == 0 { 0 } else { usize::from(payload.remove(0)) };
                    let skip = if kind == HEADERS && flags & PRIORITY != 0 { 5 } else { 0 };
                    block.extend_from_slice(&payload[skip..payload.len() - padding]);
                    if flags & END_HEADERS != 0 && status.is_none() {
                        status = status_of(&block).filter(|status| *status >= 200);
                        block.clear();
                    }
                }
                DATA if of_ours => body.extend_from_slice(payload),
                _ => {}
            }
            if let (true, true, Some(status)) = (of_ours, ends, status) {
                if !body.is_empty() {
                    let taken = u32::try_from(body.len()).expect("a body fits the window");
                    self.frame(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes())?;
                }
                return Ok(Answer::Whole(status, body));
            }
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A block of headers.
pub fn hpack(headers: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.push(0);
        for text in [name, value] {
            integer(&mut out, text.len());
            out.extend_from_slice(text);
        }
    }
    out
}

/// A length with a prefix of seven bits.
fn integer(out: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        out.push(u8::try_from(value).expect("seven bits"));
        return;
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push(u8::try_from(value & 127).expect("seven bits") | 128);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// The status, which is the first field of a response: an entry of the static table, or its name with three digits.
fn status_of(mut block: &[u8]) -> Option<u16> {
    while block.first()? & 0xe0 == 0x20 {
        block = &block[1..]; // a new size of the dynamic table, which is 0
    }
    match *block.first()? {
        indexed @ 0x88..=0x8e => Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]),
        0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e => {
            let length = usize::from(block.get(1)? & 0x7f);
            let text = block.get(2..2 + length)?;
            let digits = if block[1] & 0x80 == 0 { text.to_vec() } else { huffman_digits(text) };
            std::str::from_utf8(digits.get(..3)?).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Digits in Huffman codes: 0 to 2 have five bits, the others six.
fn huffman_digits(text: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let (mut at, mut digits) = (0, Vec::new());
    let take =
        |at: usize, count: usize| bits.get(at..at + count).map(|bits| bits.iter().fold(0, |all, bit| all << 1 | bit));
    while let Some(short) = take(at, 5) {
        if short < 3 {
            digits.push(b'0' + short);
            at += 5;
        } else {
            match take(at, 6) {
                Some(long @ 25..=31) => digits.push(b'3' + long - 25),
                _ => break,
            }
            at += 6;
        }
    }
    digits
}

/// Fields of a header block.
pub fn fields(pairs: &[(&str, &str)]) -> Vec<Field> {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// What an upstream does beside plain answers.
impl Connection {
    /// Begins an answer.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn begin(&mut self, id: u32, status: &str, more: &[(&str, &str)], end: bool) -> io::Result<()> {
        self.headers(id, &fields(&[&[(":status", status)], more].concat()), end)
    }

    /// Says nothing more, until the other side closes.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn hang(&mut self) -> io::Result<()> {
        loop {
            self.read()?;
        }
    }
}
