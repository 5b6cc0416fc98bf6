//! A server of made-up answers: turns what a test says into what a program is told over HTTP.
//!
//! One request a connection, for as long as the test runs. Knows nothing of what it serves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

/// Serves what `answer` says to the path and the form of each request, for as long as the test runs.
pub fn serve(answer: impl Fn(&str, &str) -> Option<String> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap_or_default();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or_default() <= 2 {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut form = vec![0; length];
            reader.read_exact(&mut form).unwrap_or_default();
            let path = first.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match answer(path, &String::from_utf8_lossy(&form)) {
                Some(body) => ("200 OK", body),
                None => ("503 Service Unavailable", "away".to_owned()),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap_or_default();
        }
    });
    address
}
