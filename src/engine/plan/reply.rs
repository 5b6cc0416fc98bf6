//! The answer that a variant gives in the upstream's place, in the forms that clients take.
//!
//! All forms are written when the config is read. A gRPC call is answered by Envoy in gRPC's own form, from the status
//! and the text. Never looks at a request.

use crate::config;
use crate::value::json;

/// An answer, ready to be sent.
#[derive(Debug)]
pub struct Reply {
    pub status: u32,
    /// Its headers, without the type.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// The type and the body for a client that asks for no other form.
    pub plain: Option<(Box<str>, Box<str>)>,
    /// Other types and bodies, each with the word of `accept` that asks for it.
    pub forms: Box<[(&'static str, &'static str, Box<str>)]>,
}

impl Reply {
    pub(super) fn new(reply: &config::Reply) -> Self {
        let config::Reply { status, body, content_type, headers } = reply;
        let header = |(name, value): &(_, _)| -> (Box<str>, Box<str>) { (text(name), text(value)) };
        let (mut json, mut html) = (String::new(), String::new());
        json::write(body.as_deref().unwrap_or_default(), &mut json);
        for c in body.iter().flat_map(|body| body.chars()) {
            match c {
                '<' => html.push_str("&lt;"),
                '&' => html.push_str("&amp;"),
                c => html.push(c),
            }
        }
        let forms: Box<[_]> = match (body, content_type) {
            (Some(_), None) => Box::new([
                ("json", "application/problem+json", format!("{{\"status\":{status},\"detail\":{json}}}\n").into()),
                (
                    "text/html",
                    "text/html; charset=utf-8",
                    format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>{status}</title>\n<p>{html}</p>\n")
                        .into(),
                ),
            ]),
            _ => Box::default(),
        };
        let kind = content_type.as_ref().map_or("text/plain; charset=utf-8".into(), text);
        Self {
            status: u32::from(*status),
            headers: headers.iter().map(header).collect(),
            plain: body.as_ref().map(|body| (kind, body.clone())),
            forms,
        }
    }
}

fn text(value: &impl ToString) -> Box<str> {
    value.to_string().into()
}
