//! `tidegate test --matrix`: requests that show each pair of variants of two flags at least once, ready to be sent.
//!
//! As JSON they are a case file, which the same command runs. Pairs for which no request was found are listed, too.

use serde_json::{Map, Value, json};

use crate::error::{CliError, Found};
use crate::input::load::load;
use crate::input::time::now;
use crate::terminal::Screen;
use crate::terminal::style::{FAINT, MAIN, ODD, paint};
use tidegate_analysis::case::Case;
use tidegate_analysis::case::cover::{Cover, Gap, Row, cover};
use tidegate_analysis::request::RequestSpec;
use tidegate_analysis::source::Loaded;
use tidegate_analysis::words::number::count;
use tidegate_analysis::words::{self, time};
use tidegate_engine::value::time::Timestamp;

/// What is to be listed, in options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The matrix")]
pub(crate) struct Choices {
    /// Instead of running cases, list requests that show each pair of variants of two flags of this config; with
    /// --output json the list is a case file
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["files", "only"])]
    matrix: Option<String>,
    /// How many generated users to search
    #[arg(long, value_name = "N", conflicts_with = "files", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    users: u32,
    /// The time to decide at, such as 2026-12-01T09:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "files", value_parser = time::parse)]
    at: Option<Timestamp>,
}

impl Choices {
    /// The config, if a matrix is asked for.
    pub(crate) fn config(&self) -> Option<&str> {
        self.matrix.as_deref()
    }
}

pub(crate) fn run(config: &str, choices: &Choices, screen: &mut Screen) -> Result<Found, CliError> {
    let loaded = load(config, screen)?;
    let now = choices.at.unwrap_or_else(now);
    let matrix = Matrix { loaded: &loaded, now, cover: cover(&loaded, now, choices.users) };
    if screen.is_json() {
        screen.json(&matrix.json(config))?;
    } else {
        matrix.show(screen)?;
    }
    Ok(Found::Nothing)
}

struct Matrix<'l> {
    loaded: &'l Loaded,
    now: Timestamp,
    cover: Cover,
}

impl Matrix<'_> {
    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        let Cover { rows, gaps, pairs } = &self.cover;
        for (number, row) in (1_usize..).zip(rows) {
            let expected: Vec<String> = row
                .cells
                .iter()
                .filter_map(|cell| self.name(*cell))
                .map(|(flag, variant)| format!("{flag}={variant}"))
                .collect();
            screen.line(format!("{} {}", paint(MAIN, format!("{number}.")), expected.join(" ")))?;
            screen.line(format!("   {}", curl(&row.spec)))?;
            for part in beside(&row.spec) {
                screen.line(format!("   {}", paint(ODD, format!("with {part}"))))?;
            }
        }
        let flags = count(self.loaded.plan.flags().len(), "flag");
        let at = time::text(self.now);
        let (rows, pairs) = (count(rows.len(), "request"), count(*pairs, "pair"));
        screen.line(format!("{rows} show {pairs} of variants of {flags}, at {at}"))?;
        for gap in gaps {
            screen.line(format!("{} {}: {}", paint(ODD, "not reached"), self.gap(gap), paint(FAINT, &gap.why)))?;
        }
        Ok(())
    }

    /// The flag and the variant at a place.
    fn name(&self, (flag, variant): (usize, tidegate_engine::plan::VariantId)) -> Option<(&str, &str)> {
        let flag = self.loaded.plan.flags().get(flag)?;
        Some((flag.key().as_str(), flag.variant(variant)?.name().as_str()))
    }

    fn gap(&self, gap: &Gap) -> String {
        let names = std::iter::once(gap.one).chain(gap.other).filter_map(|cell| self.name(cell));
        names.map(|(flag, variant)| format!("{flag}={variant}")).collect::<Vec<_>>().join(" ")
    }

    fn json(&self, config: &str) -> Value {
        let cases = (1_usize..).zip(&self.cover.rows).map(|(number, row)| self.case(number, row));
        let gaps = self.cover.gaps.iter().map(|gap| {
            let names = std::iter::once(gap.one).chain(gap.other).filter_map(|cell| self.name(cell));
            let flags: Map<String, Value> = names.map(|(flag, variant)| (flag.to_owned(), variant.into())).collect();
            json!({"flags": flags, "why": gap.why})
        });
        json!({
            "about": format!("Each pair of variants of two flags: {} in all.", self.cover.pairs),
            "file": config,
            "at": time::text(self.now),
            "cases": cases.collect::<Vec<_>>(),
            "unreached": gaps.collect::<Vec<_>>(),
        })
    }

    fn case(&self, number: usize, row: &Row) -> Value {
        let spec = &row.spec;
        // Bytes as Latin-1, as case files have them.
        let latin1 = |value: &[u8]| value.iter().map(|byte| char::from(*byte)).collect::<String>();
        let pseudo = |name: &str| latin1(spec.header(name).unwrap_or_default());
        let plain = spec.headers.iter().filter(|(name, _)| !name.starts_with(':'));
        let mut request = Map::new();
        for (field, name) in [("method", ":method"), ("host", ":authority"), ("path", ":path")] {
            request.insert(field.to_owned(), pseudo(name).into());
        }
        let headers: Vec<Value> = plain.map(|(name, value)| json!([name, latin1(value)])).collect();
        request.insert("headers".to_owned(), headers.into());
        if !spec.claims.is_empty() {
            request.insert("claims".to_owned(), Value::Object(spec.claims.clone()));
        }
        for (field, value) in [("peer", &spec.peer), ("address", &spec.address), ("proxy", &spec.proxy)] {
            if let Some(value) = value {
                request.insert(field.to_owned(), latin1(value).into());
            }
        }
        let decided: Map<String, Value> = Case::words(spec, &self.loaded.plan, self.now)
            .into_iter()
            .map(|(flag, words)| (flag, words.into()))
            .collect();
        json!({
            "name": format!("matrix {number}"),
            "about": curl(spec),
            "request": request,
            "expect": {"decide": decided},
        })
    }
}

/// A command that sends the request to `$URL`.
fn curl(spec: &RequestSpec) -> String {
    let mut words = vec!["curl".to_owned()];
    let part = |name: &str| spec.header(name).unwrap_or_default();
    if part(":method") != b"GET" {
        words.extend(["-X".to_owned(), quoted(String::new(), part(":method"))]);
    }
    let host = [("host".to_owned(), part(":authority").to_vec())];
    let plain = spec.headers.iter().filter(|(name, _)| !name.starts_with(':'));
    for (name, value) in host.iter().chain(plain) {
        words.extend(["-H".to_owned(), quoted(format!("{name}: "), value)]);
    }
    words.push(format!("\"$URL\"{}", quoted(String::new(), part(":path"))));
    words.join(" ")
}

/// Text as a shell takes it for one word.
fn quoted(mut text: String, bytes: &[u8]) -> String {
    text.push_str(&bytes.escape_ascii().to_string().replace("\\'", "'"));
    let readable = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,=:".contains(c);
    match text {
        text if readable && text.chars().all(plain) && !text.is_empty() => text,
        text if readable => format!("'{}'", text.replace("\\\\", "\\").replace("\\\"", "\"").replace('\'', r"'\''")),
        // Bytes that cannot be shown: the shell makes them of their escapes.
        text => format!("$'{}'", text.replace('\'', r"\'")),
    }
}

/// What a request needs that cannot be sent as a header.
fn beside(spec: &RequestSpec) -> Vec<String> {
    let claims = (!spec.claims.is_empty()).then(|| format!("verified claims {}", Value::Object(spec.claims.clone())));
    let parts = [("peer", &spec.peer), ("address", &spec.address), ("proxy", &spec.proxy)];
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", words::bytes(value.as_ref()?))));
    claims.into_iter().chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::files;
    use tidegate_analysis::{case, source};

    #[test]
    fn a_matrix_is_a_file_of_cases() {
        let text = include_str!("../../../../../tests/cli/configs/pairs.yaml");
        let mut read =
            case::within("cases", &format!("config:\n  {}\ncases: []", text.replace('\n', "\n  ")), &files::configs)
                .unwrap();
        let suite = read.suites.remove(0);
        let now = time::parse("2026-12-03").unwrap();
        let matrix = Matrix { loaded: &suite.loaded, now, cover: cover(&suite.loaded, now, 1_000) };
        let mut json = matrix.json("");
        json.as_object_mut().unwrap().remove("file");
        json["config"] = source::document::json(&serde_json::from_slice(&suite.loaded.document.wire).unwrap());
        let read = case::within("matrix", &json.to_string(), &files::configs).unwrap();
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        let suite = &read.suites[0];
        assert_eq!(suite.cases.len(), matrix.cover.rows.len());
        for case in &suite.cases {
            let wrong = case.differences(&case.natively(suite.plan()));
            assert!(wrong.is_empty(), "{}: {wrong:?}", case.name);
        }
    }

    #[test]
    fn a_shell_takes_each_value_for_one_word() {
        for (bytes, word) in [
            (&b"plain/1"[..], "plain/1"),
            (b"it's me", r"'it'\''s me'"),
            (b"a\\b\"c", "'a\\b\"c'"),
            (b"\xff'", r"$'\xff\''"),
        ] {
            assert_eq!(quoted(String::new(), bytes), word);
        }
    }
}
