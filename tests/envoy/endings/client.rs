//! A client's part of an ending: sends a request as slowly as it likes, and leaves when it likes.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::LIMIT;
use kit::h2::{Connection, Field, HEADERS, fields};

/// Who asks, and for what.
pub struct Visit {
    pub port: u16,
    pub path: String,
    pub user: String,
}

/// Long enough for a request to arrive, and far from the limit.
pub fn soon() {
    thread::sleep(Duration::from_millis(150));
}

/// Beyond the limit.
pub fn late() {
    thread::sleep(LIMIT + Duration::from_millis(500));
}

impl Visit {
    /// The headers of a request over HTTP/2, and these further ones.
    pub fn headers(&self, method: &str, more: &[(&str, &str)]) -> Vec<Field> {
        let pseudo = [(":method", method), (":scheme", "http"), (":authority", "shop.example"), (":path", &self.path)];
        fields(&[&pseudo[..], &[("x-user-id", &self.user)], more].concat())
    }

    /// A connection of HTTP/2.
    pub fn two(&self) -> io::Result<Connection> {
        Connection::open(self.port)
    }

    /// A whole request over HTTP/2 that is on its way.
    pub fn asked(&self) -> io::Result<(Connection, u32)> {
        let mut connection = self.two()?;
        let id = connection.request(&self.headers("GET", &[]), true)?;
        Ok((connection, id))
    }

    /// A connection of HTTP/1.1 with the head of a request, and these further headers.
    pub fn one(&self, method: &str, more: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Self { path, user, .. } = self;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: shop.example\r\nx-user-id: {user}\r\n{more}\r\n");
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }
}

/// Sends this many megabytes until nobody takes them any more, and leaves late.
pub fn uploads(visit: &Visit, megabytes: usize) -> io::Result<()> {
    let mut stream = visit.one("POST", &format!("content-length: {}\r\n", megabytes << 20))?;
    stream.set_write_timeout(Some(LIMIT + Duration::from_millis(500)))?;
    let megabyte = vec![b'x'; 1 << 20];
    (0..megabytes).try_for_each(|_| stream.write_all(&megabyte))?;
    late();
    Ok(())
}

/// Waits until the answer begins.
pub fn begun(connection: &mut Connection) -> io::Result<()> {
    while connection.read()?.kind != HEADERS {}
    Ok(())
}

/// Asks over HTTP/1.1, and takes all that comes.
pub fn get(visit: &Visit) -> io::Result<()> {
    let mut stream = visit.one("GET", "connection: close\r\n")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Asks over HTTP/2, and takes all that comes.
pub fn get_two(visit: &Visit) -> io::Result<()> {
    let (mut connection, id) = visit.asked()?;
    connection.answer(id)?;
    Ok(())
}

/// Calls a method of gRPC.
pub fn call(visit: &Visit) -> io::Result<()> {
    let mut connection = visit.two()?;
    let headers = visit.headers("POST", &[("content-type", "application/grpc"), ("te", "trailers")]);
    let id = connection.request(&headers, false)?;
    connection.data(id, &[0; 5], true)?;
    connection.answer(id)?;
    Ok(())
}
