//! A version of the sample: answers each request with its own name and the headers that it got, and fails where it is
//! told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use kit::chance::Chance;

use serde_json::json;

/// How many of a million requests fail at `v1`, and at `v2`.
pub(crate) static FAILS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// The number of a request.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The status of the next answer.
fn status(version: &str) -> &'static str {
    let most = FAILS[usize::from(version == "v2")].load(Ordering::Relaxed);
    let draw = Chance::of(&[NUMBER.fetch_add(1, Ordering::Relaxed)]).below(1_000_000);
    if draw < most { "500 Internal Server Error" } else { "200 OK" }
}

pub(crate) fn serve(address: &str, version: &str) -> ExitCode {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    start(listener, version).join().expect("the listener goes on");
    ExitCode::SUCCESS
}

/// Serves in threads of its own, for as long as the program lives.
pub(crate) fn start(listener: TcpListener, version: &str) -> thread::JoinHandle<()> {
    let version = version.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let version = version.clone();
            thread::spawn(move || talk(&stream, &version));
        }
    })
}

fn talk(stream: &TcpStream, version: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = vec![(":path".to_owned(), path)];
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let body = json!({"version": version, "headers": headers}).to_string();
        // In one piece: the kernel would hold back the second one.
        let status = status(version);
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        writer.write_all((head + &body).as_bytes()).ok()?;
    }
}
