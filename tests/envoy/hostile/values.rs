//! Values that are not what they should be, as lists: with each list stands what it is a list of.
//!
//! The lists are packed, because a line for each value hides the others. Knows nothing of requests.

/// The values of a cookie header.
#[rustfmt::skip]
pub const COOKIES: &[&str] = &[
    "", "=", ";", "; ", "=;=", "uid", "uid=", "=ana", "uid==", "uid=a=b", "uid=;uid=", "uid=a;uid=a", "uid=a,uid=b",
    ";uid=a", ";;;;uid=a;;;;", " uid = a ", "\tuid\t=\ta\t", "UID=a", "uid=a; UID=b", "uid=\"", "uid=\"\"", "uid=\"a",
    "uid=a\"", "uid=\"\"\"", "uid=%", "uid=%4", "uid=%4g", "uid=%zz", "uid=%00", "uid=%0d%0aset-cookie:x", "uid=%25",
    "uid=%ff%fe", "uid=%C3%A9", "uid=%%34%31", "$Version=1; uid=a; $Path=/", "uid\u{301}=a", "uid=a\u{0}", "uid[]=a",
    "uid.x=a", "tg_id=", "tg_id=a; tg_id=b", "tg_id=%", "a b; c d", "__Host-uid=a", "beta=1; beta", "beta; beta=1",
    "beta=1;", "beta=01", "beta=\"1\"", "beta=1 ", "uid=a b", "=uid=a", "uid=a; =; =; b",
];

/// What stands behind the path.
#[rustfmt::skip]
pub const QUERIES: &[&str] = &[
    "", "?", "??", "?=", "?&", "?&&&", "?uid", "?uid=", "?=ana", "?uid==", "?uid=a=b", "?uid=a&uid=a", "?uid=a;uid=b",
    "?uid=%", "?uid=%4", "?uid=%zz", "?uid=%00", "?uid=%0d%0a", "?uid=%25", "?uid=%ff", "?%75%69%64=a",
    "?%75id=a&uid=b", "?UID=a", "?uid=a+b", "?uid=a#uid=b", "?uid[]=a", "?uid[0]=a", "?uid.x=a", "?q=a%20b", "?q=a+b",
    "?q=a b", "?uid=a?uid=b", "?u%69d", "?uid%3Da", "?uid=%u0041",
];

/// Paths, and what is none.
#[rustfmt::skip]
pub const PATHS: &[&str] = &[
    "/", "//", "/.", "/..", "/../..", "/shop", "/shop/", "/shop//", "/shop/..", "/shop/%2e%2e/x", "/shop%2fx",
    "/shop%2Fx", "/%73hop/x", "/SHOP/x", "/shop\\x", "/shop;v=1/x", "/shop/%", "/shop/%4", "/shop/%zz", "/shop/%00",
    "/shop/%ff", "/shop/é", "/shop/#x", "/shop?/x", "", "*", "shop", "?", "#", "http:", "/shop/\u{feff}", "/:shop",
    "/shop:80/x", "/%", "/%2", "/%2f%2f",
];

/// Hosts, and what is none.
#[rustfmt::skip]
pub const HOSTS: &[&str] = &[
    "", ".", "..", ":", ":80", "shop.example:", "shop.example:80", "shop.example:x", "shop.example:99999",
    "shop.example:-1", "SHOP.EXAMPLE", "Shop.Example:8080", "shop.example.", "shop..example", "a:b:c", "[", "]", "[]",
    "[::1]", "[::1]:80", "[::1", "::1", "[::ffff:1.2.3.4]:1", "127.0.0.1", "0x7f.1", "xn--bcher-kva.example",
    "user@shop.example", "user:pass@shop.example:80", "shop.example/x", "shop.example?x", "shop.example#x",
    "shop.example,evil", "shop.example evil", "*", "%73hop.example", "sh%6fp.example", "bücher.example",
];

/// Payloads of a bearer token.
#[rustfmt::skip]
pub const PAYLOADS: &[&str] = &[
    "", " ", "{", "}", "{}", "[]", "null", "1", "\"sub\"", "{\"sub\"}", "{\"sub\":}", "{\"sub\":null}",
    "{\"sub\":[]}", "{\"sub\":{}}", "{\"sub\":\"\"}", "{\"sub\":\"a\",\"sub\":\"b\"}", "{\"sub\":\"a\",}",
    "{\"sub\":\"\\ud800\"}", "{\"sub\":\"\\u0000\"}", "{\"sub\":\"\\x\"}", "{\"sub\":1e999}", "{\"sub\":-0}",
    "{\"sub\":1.0}", "{\"sub\":01}", "{\"sub\":+1}", "{\"sub\":.1}", "{\"sub\":NaN}", "{\"sub\":1e-999}",
    "{\"sub\":123456789012345678901234567890}", "{\"sub\":true}", "{\"tier\":3}", "{\"tier\":3.0}",
    "{\"tier\":\"3\"}", "{\"tier\":3e0}", "{\"tier\":30e-1}", "{'sub':'a'}", "{\"sub\":\"a\"}x",
    "\u{feff}{\"sub\":\"a\"}", "{\"\":\"\"}", "{\"sub\":\"a\"}{\"sub\":\"b\"}",
];

/// Whole values of `authorization`.
#[rustfmt::skip]
pub const AUTHORIZATIONS: &[&str] = &[
    "", "B", "Bearer", "Bearer ", "bearer e30.eyJzdWIiOiJhbmEifQ.", "BEARER e30.eyJzdWIiOiJhbmEifQ.x",
    "Bearer  e30.eyJzdWIiOiJhbmEifQ.x", "Bearer\te30.eyJzdWIiOiJhbmEifQ.x", "Bearere30.e30.x", "Basic YTpi",
    "Negotiate ", "Bearer e30.eyJzdWIiOiJhbmEifQ==.x", "Bearer e30.eyJzdWIiOiJhbmEifQ=.x",
    "Bearer e30.eyJzdWIiOiJhbmEif.x", "Bearer e30.eyJzdWIiOiJhbmEi+/.x", "Bearer e30.-_-_.x",
    "Bearer e30.eyJzdWIiOiJhbmEifR.x", "Bearer e30. .x", "Bearer e30.e30.x, Bearer e30.e30.x",
    "Bearer .eyJzdWIiOiJhbmEifQ.",
];

/// Values of a header that is compared as text, number, version and address.
#[rustfmt::skip]
pub const VALUES: &[&str] = &[
    "", " ", "5", "5.0", "+5", "-5", "05", "5.", ".5", "5e0", "1e400", "-0", "NaN", "inf", "0x5", "5,5",
    "18446744073709551616", "170141183460469231731687303715884105728", "0.00000000000000000000000000001", "1.2.3",
    "v1.2.3", "1.2", "1.2.3.4", "1.2.3-", "1.2.3-alpha.1", "1.2.3+", "1.2.3-01", "01.2.3", "18446744073709551616.0.0",
    "1.2.3-é", "10.0.0.1", "10.0.0.256", "10.0.0.1/8", "::", "::1", "1:2:3:4:5:6:7:8:9", "::ffff:10.0.0.1",
    "fe80::1%eth0", "10.1", "010.0.0.1", "abmmyz", "ab", "yz", "a*z?", "azz", "%00", "\u{e9}", "1\t2", "\"5\"", "'",
    "\\", "${5}", "{{5}}", "<x>", "../../etc/passwd", "() { :;}; x", "' or 1=1 --",
];

/// Browsers.
#[rustfmt::skip]
pub const AGENTS: &[&str] = &[
    "", "bot", "BOT", "Googlebot/2.1", "robot mobile ipad", "Mozilla/5.0 (iPad)", "Android", "Android Mobile", "mob",
    "mobi", "ipa d",
];

/// Verified claims.
#[rustfmt::skip]
pub const CLAIMS: &[(&str, &[u8])] = &[
    ("empty", b""), ("one zero byte", b"\0"), ("one one byte", b"\x01"), ("eight zero bytes", b"\0\0\0\0\0\0\0\0"),
    ("eight bytes of 0xff", b"\xff\xff\xff\xff\xff\xff\xff\xff"), ("the bytes of infinity", b"\0\0\0\0\0\0\xf0\x7f"),
    ("the bytes of a NaN", b"\x01\0\0\0\0\0\xf0\x7f"), ("half of a character", b"\xc3"), ("a line break", b"a\r\nb"),
    ("eight letters", b"janedoe1"),
];

/// Whole requests over HTTP/1.1.
#[rustfmt::skip]
pub const REQUESTS: &[(&str, &[u8])] = &[
    ("absolute form", b"GET http://other.example/shop/x?uid=ana HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("absolute form in capitals", b"GET HTTP://OTHER.example HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("absolute form of another scheme", b"GET ftp://other.example/ HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("absolute form without a host", b"GET http:///shop HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("absolute form with a user", b"GET http://u:p@other.example:8/x HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nhost: shop.example\r\nx-user-id: ana\r\n\r\n"),
    ("asterisk with another method", b"GET * HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("authority form", b"CONNECT shop.example:80 HTTP/1.1\r\nhost: shop.example:80\r\n\r\n"),
    ("authority form with another method", b"GET shop.example:80 HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("no host", b"GET / HTTP/1.1\r\nx-user-id: ana\r\n\r\n"), ("an empty host", b"GET / HTTP/1.1\r\nhost:\r\n\r\n"),
    ("two hosts", b"GET / HTTP/1.1\r\nhost: shop.example\r\nhost: other.example\r\n\r\n"),
    ("HTTP/1.0", b"GET / HTTP/1.0\r\nhost: shop.example\r\n\r\n"),
    ("HTTP/1.0 without a host", b"GET / HTTP/1.0\r\n\r\n"),
    ("HTTP/3.0", b"GET / HTTP/3.0\r\nhost: shop.example\r\n\r\n"), ("no version", b"GET /\r\n\r\n"),
    ("a lower-case version", b"GET / http/1.1\r\nhost: shop.example\r\n\r\n"),
    ("an unknown method", b"FROB / HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("an empty method", b" / HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("lone line feeds", b"GET / HTTP/1.1\nhost: shop.example\nx-user-id: ana\n\n"),
    ("blank lines in front", b"\r\n\r\nGET / HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("two blanks", b"GET  /  HTTP/1.1\r\nhost: shop.example\r\n\r\n"),
    ("a start of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), ("nothing but zeros", &[0; 64]),
];

/// Lines among the headers of a request over HTTP/1.1, up to the line that ends them.
#[rustfmt::skip]
pub const HEADERS: &[(&str, &[u8])] = &[
    ("obs-fold", b"x-user-id: a\r\n b\r\n"), ("obs-fold by a tab", b"x-user-id: a\r\n\tb\r\n"),
    ("obs-fold in an owned header", b"x-flag-checkout:\r\n v2\r\n"),
    ("obs-fold in cookies", b"cookie: uid=a;\r\n beta=1\r\n"), ("a NUL in a value", b"x-user-id: a\0b\r\n"),
    ("a NUL in a name", b"x-user\0-id: ab\r\n"), ("a NUL in an owned name", b"x-flag-checkout\0: v2\r\n"),
    ("a CR in a value", b"x-user-id: a\rb\r\n"), ("a LF in a value", b"x-user-id: a\nx-flag-checkout: v2\r\n"),
    ("a blank in front of the colon", b"x-flag-checkout : v2\r\n"),
    ("a tab in front of the colon", b"x-flag-checkout\t: v2\r\n"),
    ("a blank in front of a name", b" x-flag-checkout: v2\r\n"),
    ("no blank behind the colon", b"x-flag-checkout:v2\r\nx-user-id:ana\r\n"),
    ("blanks around a value", b"x-user-id: \t ana \t \r\nx-flag-checkout:  v2  \r\n"), ("no name", b": ana\r\n"),
    ("no colon", b"x-user-id\r\n"), ("a pseudo-header", b":path: /shop/x\r\nx-user-id: ana\r\n"),
    ("a pseudo-header for the method", b":method: POST\r\n"),
    ("connection names what the filter reads", b"connection: x-user-id, cookie\r\nx-user-id: ana\r\ncookie: uid=a\r\n"),
    ("connection names what the filter writes", b"connection: x-flag-checkout, x-flags, x-upstream-version\r\nx-user-id: ana\r\n"),
    ("connection: close", b"connection: close\r\nx-flag-checkout: v2\r\n"),
    ("te and trailers", b"te: trailers\r\ntrailer: x-flag-checkout\r\n"),
    ("upgrade to h2c", b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
    ("upgrade to websocket", b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAA\r\nsec-websocket-version: 13\r\n"),
    ("a chunked body with forged trailers", b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-flag-checkout: v2\r\nx-user-id: ana\r\n"),
    ("a chunked body in capitals", b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n"),
    ("two lengths", b"content-length: 0\r\ncontent-length: 0\r\n"),
    ("two different lengths", b"content-length: 0\r\ncontent-length: 1\r\n"),
    ("a length and chunks", b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"),
    ("a negative length", b"content-length: -1\r\n"), ("a length that is no number", b"content-length: 0x0\r\n"),
    ("an encoding that nobody knows", b"transfer-encoding: xchunked\r\n"),
    ("Envoy's own headers", b"x-envoy-original-path: /x\r\nx-envoy-internal: true\r\nx-envoy-decorator-operation: x\r\nx-envoy-max-retries: 9\r\n"),
    ("an address and a scheme", b"x-forwarded-for: 10.0.0.1\r\nx-forwarded-proto: https\r\nforwarded: for=10.0.0.1\r\nx-real-ip: 10.0.0.1\r\n"),
];
