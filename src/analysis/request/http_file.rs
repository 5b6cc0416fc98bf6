//! Reads requests from text, as they go over HTTP/1.1 and as editors keep them in `.http` files.
//!
//! Several requests stand in one file with a line of `###` between them. Bodies are not looked at.

use super::RequestSpec;

/// What stands alone on a line between two requests, or with a name behind it: as editors have it.
const BORDER: &[u8] = b"###";

/// Reads the requests of a file.
pub fn parse(text: &[u8]) -> Result<Vec<RequestSpec>, String> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let parts = lines.split(|line| line.starts_with(BORDER)).map(|part| (part, begins(part).count() > 0));
    let found: Vec<&[&[u8]]> = parts.filter(|(_, holds)| *holds).map(|(part, _)| part).collect();
    let several = found.len() > 1;
    let place = |number: usize, why: String| if several { format!("request {number}: {why}") } else { why };
    let specs: Result<Vec<_>, _> =
        (1..).zip(&found).map(|(number, part)| parse_one(part).map_err(|why| place(number, why))).collect();
    match specs {
        Ok(specs) if specs.is_empty() => Err("contains no request".to_owned()),
        other => other,
    }
}

/// The lines of a request, from its first one on: those in front of it that begin with `#` are comments.
fn begins<'t>(lines: &[&'t [u8]]) -> impl Iterator<Item = &'t [u8]> {
    let lines = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.skip_while(|line| line.trim_ascii().is_empty() || line.starts_with(b"#"))
}

/// Reads a request as it goes over HTTP/1.1. A body is not looked at.
fn parse_one(lines: &[&[u8]]) -> Result<RequestSpec, String> {
    let shown = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let mut lines = begins(lines);
    let first = lines.next().unwrap_or_default();
    let mut parts = first.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return Err(format!("'{}' is not a request line, such as GET /path HTTP/1.1", shown(first)));
    };
    // A whole URL, as editors' HTTP files and proxies have it: the host that it names counts.
    let whole = target.windows(3).position(|part| part == b"://").and_then(|at| target.get(at.checked_add(3)?..));
    let whole = whole.filter(|_| !target.starts_with(b"/"));
    let (host, path) = match whole {
        Some(rest) => {
            let path = rest.iter().position(|byte| *byte == b'/').and_then(|at| rest.split_at_checked(at));
            path.unwrap_or((rest, b"/"))
        }
        None => (&b"localhost"[..], target),
    };
    let mut spec = RequestSpec::of(method, host, path);
    for line in lines.take_while(|line| !line.trim_ascii().is_empty()) {
        let (name, value) =
            header(line).ok_or_else(|| format!("'{}' is not a header, such as x-user-id: ana", shown(line)))?;
        if name != "host" {
            spec.headers.push((name, value));
        } else if whole.is_none() {
            spec.replace(":authority", value);
        }
    }
    Ok(spec)
}

/// Reads a header from its line. Each line by itself, so that a wrong one can be shown.
fn header(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let block = [line, b"\r\n\r\n"].concat();
    let mut found = [httparse::EMPTY_HEADER];
    match httparse::parse_headers(&block, &mut found) {
        Ok(httparse::Status::Complete((_, [header]))) => {
            Some((header.name.to_ascii_lowercase(), header.value.trim_ascii().to_vec()))
        }
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(spec: &RequestSpec) -> String {
        let headers = spec.headers.iter().filter(|(name, _)| name != ":scheme");
        headers.map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_request_is_read_as_text() {
        let read = |text: &[u8]| parse(text).unwrap().iter().map(shown).collect::<Vec<_>>();
        let text =
            b"# asked by ana\nPOST https://shop.example/api?x=1 HTTP/1.1\nX-User-Id:  ana \ncookie: a=b\n\nx: y\n";
        assert_eq!(read(text), [":method=POST :authority=shop.example :path=/api?x=1 x-user-id=ana cookie=a=b"]);
        let bytes = b"GET /?to=http://\xff HTTP/1.1\r\nHost: a\r\nx-odd:\t\xc3\xff\r\n\r\n";
        assert_eq!(read(bytes), [":method=GET :authority=a :path=/?to=http://\\xff x-odd=\\xc3\\xff"]);
    }

    #[test]
    fn the_host_of_a_whole_url_counts() {
        let one = parse(b"GET http://a.example HTTP/1.1\nhost: b.example\n").unwrap();
        assert_eq!(one.iter().map(shown).collect::<Vec<_>>(), [":method=GET :authority=a.example :path=/"]);
    }

    #[test]
    fn several_requests_stand_between_lines() {
        let text = b"### first\n\nGET /a\nhost: a\n\nbody\n###\n# second\nGET /b\n###\n";
        let read: Vec<String> = parse(text).unwrap().iter().map(shown).collect();
        assert_eq!(read, [":method=GET :authority=a :path=/a", ":method=GET :authority=localhost :path=/b"]);
    }

    #[test]
    fn what_envoy_joins_is_one_header() {
        let mut one = parse(b"GET /\nAccept: a\nx: 1\naccept: \naccept: b\nx: 2\n").unwrap().remove(0);
        one.join();
        assert_eq!(shown(&one), ":method=GET :authority=localhost :path=/ accept=a,b x=1 x=2");
    }

    #[test]
    fn what_is_no_request_says_where() {
        let wrong = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(wrong("GET"), "'GET' is not a request line, such as GET /path HTTP/1.1");
        assert_eq!(wrong("GET /\nhello\n"), "'hello' is not a header, such as x-user-id: ana");
        assert_eq!(wrong("GET /\nx y: z\n"), "'x y: z' is not a header, such as x-user-id: ana");
        assert_eq!(wrong("GET /\n###\nGET /\n: x\n"), "request 2: ': x' is not a header, such as x-user-id: ana");
        assert_eq!(wrong("\n"), "contains no request");
        assert_eq!(wrong("###\n# nothing\n"), "contains no request");
    }
}
