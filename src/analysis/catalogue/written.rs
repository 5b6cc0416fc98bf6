//! Turns the catalogue into JSON for programs and a table of Markdown.

use serde_json::{Value, json};

use super::{Catalogue, Difference, Entry};
use crate::words::markdown::escaped;
use crate::words::number::count;
use crate::words::time::{day, moment};
use tidegate_engine::config::{Kind, Stage};

/// The form of the JSON: it grows by new fields, and is another one if an old field goes or means something else.
pub const FORM: u32 = 1;

/// For programs.
pub fn json(catalogue: &Catalogue) -> Value {
    let origins = catalogue.origins.iter().map(|origin| {
        json!({"kind": origin.kind, "name": origin.name, "revision": origin.revision, "silent": origin.silent})
    });
    json!({
        "version": FORM,
        "at": moment(catalogue.at),
        "from": origins.collect::<Vec<_>>(),
        "all": catalogue.all,
        "flags": catalogue.entries.iter().map(|entry| entry_json(catalogue, entry)).collect::<Vec<_>>(),
    })
}

fn entry_json(catalogue: &Catalogue, entry: &Entry) -> Value {
    let names = |places: &[usize]| places.iter().map(|place| name(catalogue, *place)).collect::<Vec<_>>();
    let shares = entry.about.as_ref().map(|about| {
        let shares = about.shares.variants.iter();
        shares.map(|(variant, share)| json!({"variant": variant, "sharePpm": share.parts()})).collect::<Vec<_>>()
    });
    let differences = entry.differences.iter().map(|one| {
        let values = one.values.iter().map(|(value, places)| json!({"value": value, "where": names(places)}));
        json!({"field": one.field, "values": values.collect::<Vec<_>>()})
    });
    let from = if entry.said { "created" } else { "git" };
    json!({
        "flag": entry.key,
        "type": entry.kind().map(Kind::name),
        "stage": entry.stage().map(Stage::name),
        "owner": entry.owner(),
        "description": entry.description(),
        "baseline": entry.about.as_ref().map(|about| &about.baseline),
        "shares": shares,
        "conditions": entry.about.as_ref().map(|about| about.shares.conditions),
        "standing": entry.standing,
        "since": entry.since.map(moment),
        "sinceFrom": entry.since.map(|_| from),
        "ageDays": entry.days(catalogue.at),
        "expires": entry.expires().map(moment),
        "expired": entry.is_over(catalogue.at),
        "where": names(&entry.places),
        "differences": differences.collect::<Vec<_>>(),
    })
}

/// The name of a place.
pub fn name(catalogue: &Catalogue, place: usize) -> &str {
    catalogue.origins.get(place).map_or("", |origin| &origin.name)
}

/// `owner: payments in a.yaml; none in b.yaml`
pub fn difference(catalogue: &Catalogue, difference: &Difference) -> String {
    let value = |(value, places): &(String, Vec<usize>)| {
        let names: Vec<&str> = places.iter().take(3).map(|place| name(catalogue, *place)).collect();
        let more = places.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{value} in {}{more}", names.join(", "))
    };
    format!("{}: {}", difference.field, difference.values.iter().map(value).collect::<Vec<_>>().join("; "))
}

/// A day, and how far it is.
pub fn expiry(entry: &Entry, catalogue: &Catalogue) -> String {
    let Some(expires) = entry.expires() else { return String::new() };
    let word = if entry.is_over(catalogue.at) { "over since " } else { "" };
    format!("{word}{}", day(expires))
}

/// `12 days`
pub fn age(entry: &Entry, catalogue: &Catalogue) -> String {
    entry.days(catalogue.at).map_or_else(String::new, |days| count(usize::try_from(days).unwrap_or_default(), "day"))
}

/// A table of Markdown.
pub fn markdown(catalogue: &Catalogue) -> String {
    let mut text = format!("## Flags on {}\n\n", day(catalogue.at));
    text += "| flag | type | stage | owner | share now | standing | age | expires | description |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for entry in &catalogue.entries {
        let cells = [
            entry.kind().map_or("", Kind::name).to_owned(),
            entry.stage().map_or("", Stage::name).to_owned(),
            entry.owner().unwrap_or_default().to_owned(),
            entry.share_text(),
            entry.standing_text(),
            age(entry, catalogue),
            expiry(entry, catalogue),
            entry.description().unwrap_or_default().to_owned(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        text += &["| `", &entry.key, "` | ", &cells.join(" | "), " |\n"].concat();
    }
    let differences: Vec<String> = catalogue
        .entries
        .iter()
        .flat_map(|entry| entry.differences.iter().map(move |one| (entry, one)))
        .map(|(entry, one)| format!("- `{}`: {}\n", entry.key, escaped(&difference(catalogue, one))))
        .collect();
    if !differences.is_empty() {
        text += "\nWhere places differ:\n\n";
        text += &differences.concat();
    }
    text
}
