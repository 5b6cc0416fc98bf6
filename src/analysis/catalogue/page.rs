//! Turns the catalogue into one page of HTML, which needs nothing but itself: it can be searched and sorted, and without
//! scripts it can still be read.
//!
//! What a flag says of itself is text, whatever it looks like: it is escaped, and the page runs no script but its own.

use std::collections::BTreeSet;

use super::{Catalogue, Entry, written};
use crate::words::number::count;
use crate::words::time::moment;
use tidegate_engine::config::{Kind, Stage};
use tidegate_engine::value::time::Timestamp;

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// What a browser knows the script by: `openssl dgst -sha256 -binary page.js | base64`.
const HASH: &str = "sha256-fDAkG4P71I3Q6/vp8lj6XYSZOvkmH7PvYhiSlHg0bVs=";

/// The columns, and whether they are sorted as numbers.
const HEAD: [(&str, bool); 8] = [
    ("Flag", false),
    ("Type", false),
    ("Stage", false),
    ("Owner", false),
    ("Share now", true),
    ("Standing", false),
    ("Age", true),
    ("Expires", true),
];

/// Text that is nothing but text in HTML, also as the value of an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What turns the direction of the text behind it, or cannot be seen, may not.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The page.
pub fn html(catalogue: &Catalogue) -> String {
    let rows: String = catalogue.entries.iter().map(|entry| row(catalogue, entry)).collect();
    let head = HEAD
        .iter()
        .map(|(name, numbers)| {
            let numbers = if *numbers { " data-numbers=\"yes\"" } else { "" };
            format!("<th scope=\"col\" role=\"columnheader\"{numbers}><button type=\"button\">{name}</button></th>")
        })
        .collect::<Vec<String>>()
        .concat();
    let parts = [
        ("HASH", HASH.to_owned()),
        ("ABOUT", about(catalogue)),
        ("CHOICES", choices(catalogue)),
        ("COUNT", count(catalogue.entries.len(), "flag")),
        ("HEAD", head),
        ("ROWS", rows),
        ("SCRIPT", SCRIPT.to_owned()),
    ];
    // Each part once and in order: what stands inside of one is no mark.
    let (mut page, mut rest) = (String::new(), PAGE);
    for (mark, part) in parts {
        if let Some((before, behind)) = rest.split_once(&format!("@{mark}@")) {
            page += before;
            page += &part;
            rest = behind;
        }
    }
    page + rest
}

/// When and from what the page was made.
fn about(catalogue: &Catalogue) -> String {
    let at = escaped(&moment(catalogue.at));
    let hidden = catalogue.all.saturating_sub(catalogue.entries.len());
    let left =
        if hidden > 0 { format!(", without {} that were left out", count(hidden, "flag")) } else { String::new() };
    let list = catalogue
        .origins
        .iter()
        .map(|origin| {
            let revision =
                origin.revision.as_ref().map_or_else(String::new, |name| format!(", revision {}", escaped(name)));
            let silent = origin
                .silent
                .as_ref()
                .map_or_else(String::new, |why| format!(", <span class=\"bad\">silent: {}</span>", escaped(why)));
            format!("<li>{} {}{revision}{silent}</li>", origin.kind, escaped(&origin.name))
        })
        .collect::<Vec<String>>()
        .concat();
    let from = count(catalogue.origins.len(), "place");
    let open = if catalogue.origins.len() <= 3 { " open" } else { "" };
    format!(
        "<p class=\"dim\">As of <time datetime=\"{at}\">{at}</time>, made by tidegate list{left}</p>\n\
         <details class=\"dim\"{open}><summary>From {from}</summary><ul>{list}</ul></details>"
    )
}

/// What can be chosen from, by what there is.
fn choices(catalogue: &Catalogue) -> String {
    let kinds = catalogue.entries.iter().filter_map(|entry| Some(entry.kind()?.name()));
    let stages = catalogue.entries.iter().filter_map(|entry| Some(entry.stage()?.name()));
    let owners = catalogue.entries.iter().filter_map(Entry::owner);
    let lists: [(&str, usize, BTreeSet<&str>); 3] =
        [("Type", 1, kinds.collect()), ("Stage", 2, stages.collect()), ("Owner", 3, owners.collect())];
    let list = |(name, column, values): &(&str, usize, BTreeSet<&str>)| {
        let options = values
            .iter()
            .map(|value| format!("<option value=\"yes\">{}</option>", escaped(value)))
            .collect::<Vec<String>>()
            .concat();
        format!(
            "<label>{name} <select data-column=\"{column}\"><option value=\"\">all</option>{options}</select></label>\n"
        )
    };
    lists.iter().map(list).collect()
}

fn row(catalogue: &Catalogue, entry: &Entry) -> String {
    let at = catalogue.at;
    let over = entry.is_over(at);
    let description = entry.description().map_or_else(String::new, |text| format!("<span>{}</span>", escaped(text)));
    let names: Vec<&str> = entry.places.iter().map(|place| written::name(catalogue, *place)).collect();
    let differences = entry
        .differences
        .iter()
        .map(|one| format!("<span class=\"odd\">differs in {}</span>", escaped(&written::difference(catalogue, one))))
        .collect::<Vec<String>>()
        .concat();
    let places = format!("<span class=\"dim\">{}</span>", escaped(&names.join(", ")));
    let away = entry.away();
    let width = away.map_or(0, |share| share.parts().div_ceil(10_000));
    let share = format!(
        "{}<div class=\"bar\" aria-hidden=\"true\"><i style=\"width:{width}%\"></i></div>",
        escaped(&entry.share_text())
    );
    let standing = match entry.standing {
        Some("killed" | "rolled_back") => "bad",
        Some("held" | "trial") => "odd",
        _ => "good",
    };
    let standing = format!("<span class=\"{standing}\">{}</span>", escaped(&entry.standing_text()));
    let expires = match (entry.expires(), over) {
        (Some(_), true) => format!(
            "<span class=\"bad\">{}</span><span class=\"bad\">{}</span>",
            written::expiry(entry, catalogue),
            entry.expiry_text(at)
        ),
        (Some(_), false) => {
            format!("{}<span class=\"dim\">{}</span>", written::expiry(entry, catalogue), entry.expiry_text(at))
        }
        (None, _) => String::new(),
    };
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let cells = [
        (entry.kind().map_or("", Kind::name).to_owned(), None),
        (entry.stage().map_or("", Stage::name).to_owned(), None),
        (escaped(entry.owner().unwrap_or_default()), None),
        (share, Some(number(away.map(|share| share.parts().into())))),
        (standing, None),
        (written::age(entry, catalogue), Some(number(entry.days(at)))),
        (expires, Some(number(entry.expires().map(Timestamp::millis)))),
    ];
    let cells = cells
        .iter()
        .zip(HEAD.iter().skip(1))
        .map(|((cell, sort), (name, _))| {
            let sort = sort.as_ref().map_or_else(String::new, |sort| format!(" data-sort=\"{sort}\""));
            format!("<td role=\"cell\" data-name=\"{name}\"{sort}>{cell}</td>")
        })
        .collect::<Vec<String>>()
        .concat();
    let mark = if over { " data-over=\"yes\"" } else { "" };
    let key = escaped(&entry.key);
    format!(
        "<tr role=\"row\"{mark}><th scope=\"row\" role=\"rowheader\" data-sort=\"{key}\"><b>{key}</b>{description}\
         {places}{differences}</th>{cells}</tr>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Origin;

    #[test]
    fn text_is_never_more_than_text() {
        assert_eq!(
            escaped("</th><script>\"'&\u{202e}\u{0}x"),
            "&lt;/th&gt;&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}x"
        );
    }

    #[test]
    fn a_mark_in_what_is_shown_is_none() {
        let origin = Origin { kind: "file", name: "@ROWS@ @SCRIPT@ $&".to_owned(), ..Origin::default() };
        let page = html(&Catalogue::new(vec![origin], Vec::new(), Timestamp::from_millis(0)));
        assert!(page.contains("file @ROWS@ @SCRIPT@ $&amp;") && page.ends_with("</html>\n"), "{page}");
        assert!(page.contains("0 flags") && page.matches("<script>").count() == 1, "{page}");
    }
}
