//! Leads from a config to the file around it: the config is a part of the file's own values, or a text in one of them.
//!
//! A text in lines of its own (`|`) or in quotes is edited in place: each of its bytes is known by its place in the
//! file. Never writes such a text anew.

use std::ops::Range;

use super::scan::{Form, Scan, Site};
use super::{Edit, Refusal, Splice, quote, refuse, splice};
use tidegate_engine::config::Node;

/// What an edit puts where in a file whose config begins at a place.
pub(super) fn splices(text: &str, at: usize, edit: &Edit) -> Result<Vec<Splice>, Refusal> {
    let scan = Scan::read(text)?;
    let root = scan.root(at).ok_or_else(|| refuse(at, "the place of the config in this file cannot be told"))?;
    match root.form {
        Form::Map { .. } => splice::splices(&scan, root, edit, is_json(text)),
        Form::Literal | Form::Single | Form::Double => within(&scan, root, edit),
        _ => Err(refuse(at, "a config in text of this form cannot be changed in place: write it with |")),
    }
}

fn is_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with('{') && serde_json::from_str::<Node>(text).is_ok()
}

fn within(scan: &Scan<'_>, site: &Site, edit: &Edit) -> Result<Vec<Splice>, Refusal> {
    let lost = || refuse(site.span.start, "a config in text of this form cannot be changed in place: write it with |");
    let (inner, places, margin) = match site.form {
        Form::Literal => lines(scan, site).ok_or_else(lost)?,
        Form::Single => letters(scan, site, single).ok_or_else(lost)?,
        _ => letters(scan, site, double).ok_or_else(lost)?,
    };
    if inner.trim_end_matches('\n') != site.raw.trim_end_matches('\n') {
        return Err(lost());
    }
    let outside = |at: usize| places.get(at).copied().unwrap_or(site.span.end);
    let told = |refusal: Refusal| refuse(outside(refusal.at), refusal.why);
    let inside = Scan::read(&inner).map_err(told)?;
    let [root] = inside.documents.as_slice() else {
        return Err(refuse(
            site.span.start,
            "this text has several documents, and a config in it cannot be told apart",
        ));
    };
    if !root.entries.iter().any(|entry| matches!(&*entry.name, "flags" | "version")) {
        return Err(refuse(
            site.span.start,
            "the config is inside of a manifest that is itself a text: it is not changed there",
        ));
    }
    let found = splice::splices(&inside, root, edit, is_json(&inner)).map_err(told)?;
    let mut splices = Vec::new();
    for (range, new) in found {
        let new = match site.form {
            Form::Literal => {
                let eol = scan.eol();
                new.replace("\r\n", "\n").replace('\n', &format!("{eol}{margin}"))
            }
            Form::Single if !new.contains('\n') => new.replace('\'', "''"),
            Form::Single => return Err(lost()),
            _ => {
                let quoted = quote::quoted(&new);
                quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
            }
        };
        splices.push((outside(range.start)..outside(range.end), new));
    }
    Ok(splices)
}

/// The text, where each byte of it stands in the file, and what stands in front of each line.
type Inner = (String, Vec<usize>, String);

/// Text in lines of its own.
fn lines(scan: &Scan<'_>, site: &Site) -> Option<Inner> {
    let text = scan.text;
    // The parser may begin the text at its sign or behind it.
    let begin = site.span.start;
    let head = if text.get(begin..)?.starts_with('|') { begin } else { text.get(..begin)?.rfind('|')? };
    let from = head + text.get(head..)?.find('\n')? + 1;
    let body = text.get(from..site.span.end.max(from))?;
    let first = body.lines().find(|line| !line.trim().is_empty())?;
    let indent = first.len() - first.trim_start_matches(' ').len();
    // A text that begins deeper than its lines stand has its depth in the sign.
    if text.get(head..from)?.split('#').next()?.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (mut inner, mut places, mut at) = (String::new(), Vec::new(), from);
    for line in body.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        let content = content.strip_suffix('\r').unwrap_or(content);
        let skipped = content.len() - content.trim_start_matches(' ').len();
        let skipped = skipped.min(indent);
        let shown = content.get(skipped..)?;
        places.extend((0..shown.len()).map(|byte| at + skipped + byte));
        inner.push_str(shown);
        if line.ends_with('\n') {
            places.push(at + content.len());
            inner.push('\n');
        }
        at += line.len();
    }
    // Behind the last line begins what is no part of the text.
    while inner.ends_with("\n\n") {
        inner.pop();
        places.pop();
    }
    places.push(places.last().map_or(from, |last| last + 1));
    Some((inner, places, " ".repeat(indent)))
}

type Letter = fn(&str) -> Option<(char, usize)>;

/// Text in quotes, on one line.
fn letters(scan: &Scan<'_>, site: &Site, letter: Letter) -> Option<Inner> {
    let Range { start, end } = site.span;
    let (mut at, end) = (start + 1, end.checked_sub(1)?);
    let (mut inner, mut places) = (String::new(), Vec::new());
    while at < end {
        let (c, length) = letter(scan.text.get(at..end)?)?;
        places.extend(std::iter::repeat_n(at, c.len_utf8()));
        inner.push(c);
        at += length;
    }
    places.push(end);
    Some((inner, places, String::new()))
}

fn single(text: &str) -> Option<(char, usize)> {
    let c = text.chars().next().filter(|c| *c != '\n')?;
    Some((c, if c == '\'' { 2 } else { c.len_utf8() }))
}

fn double(text: &str) -> Option<(char, usize)> {
    let mut chars = text.chars();
    let c = chars.next().filter(|c| *c != '\n')?;
    if c != '\\' {
        return Some((c, c.len_utf8()));
    }
    let plain = |c| Some((c, 2));
    match chars.next()? {
        'n' => plain('\n'),
        't' => plain('\t'),
        'r' => plain('\r'),
        c @ ('"' | '\\' | '/') => plain(c),
        'u' => {
            let code = u32::from_str_radix(text.get(2..6)?, 16).ok()?;
            Some((char::from_u32(code)?, 6))
        }
        _ => None,
    }
}
