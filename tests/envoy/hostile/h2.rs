//! Writes HTTP/2 by hand, so that a test can send what no library would: any byte in any name and value.
//!
//! Headers go out as HPACK literals without Huffman codes and without an index; of what comes back only the status
//! and the body are read. One stream at a time. Never waits longer than ten seconds.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The largest frame that a peer must take.
const FRAME: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

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

/// A connection, opened when it is needed.
#[derive(Debug)]
pub struct Client {
    port: u16,
    open: Option<(TcpStream, u32)>,
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
    pub fn send(&mut self, headers: &[(Vec<u8>, Vec<u8>)]) -> io::Result<Answer> {
        let (mut stream, id) = match self.open.take() {
            Some((stream, last)) => (stream, last + 2),
            None => (connect(self.port)?, 1),
        };
        let answer = exchange(&mut stream, id, headers);
        match answer {
            Ok(answer) => {
                if !matches!(answer, Answer::Gone(_)) {
                    self.open = Some((stream, id));
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

fn connect(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // No dynamic table, and a window that no answer fills.
    let settings = [(1_u16, 0_u32), (4, 0x7fff_ffff)];
    let settings: Vec<u8> =
        settings.iter().flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(&mut out, SETTINGS, 0, 0, &settings);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    stream.write_all(&out)?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, id: u32, headers: &[(Vec<u8>, Vec<u8>)]) -> io::Result<Answer> {
    let block = hpack(headers);
    let mut out = Vec::new();
    let (first, mut rest) = block.split_at(block.len().min(FRAME));
    frame(&mut out, HEADERS, END_STREAM | if rest.is_empty() { END_HEADERS } else { 0 }, id, first);
    while !rest.is_empty() {
        let (part, more) = rest.split_at(rest.len().min(FRAME));
        frame(&mut out, CONTINUATION, if more.is_empty() { END_HEADERS } else { 0 }, id, part);
        rest = more;
    }
    stream.write_all(&out)?;
    let (mut status, mut body, mut block) = (None, Vec::new(), Vec::new());
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload)?;
        let (kind, flags) = (head[3], head[4]);
        let of_ours = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]) == id;
        match kind {
            SETTINGS if flags & ACK == 0 => {
                let mut ack = Vec::new();
                frame(&mut ack, SETTINGS, ACK, 0, &[]);
                stream.write_all(&ack)?;
            }
            PING if flags & ACK == 0 => {
                let mut ack = Vec::new();
                frame(&mut ack, PING, ACK, 0, &payload);
                stream.write_all(&ack)?;
            }
            GOAWAY => {
                let code = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")));
                return Ok(Answer::Gone(code));
            }
            RST_STREAM if of_ours => {
                let code = payload.try_into().map(u32::from_be_bytes).unwrap_or_default();
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
            DATA if of_ours => body.extend_from_slice(&payload),
            _ => {}
        }
        let ends = of_ours && (kind == HEADERS || kind == DATA) && flags & END_STREAM != 0;
        if let (true, Some(status)) = (ends, status) {
            let mut more = Vec::new();
            if !body.is_empty() {
                let taken = u32::try_from(body.len()).expect("a body fits the window");
                frame(&mut more, WINDOW_UPDATE, 0, 0, &taken.to_be_bytes());
                stream.write_all(&more)?;
            }
            return Ok(Answer::Whole(status, body));
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

fn hpack(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
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
