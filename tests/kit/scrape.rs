//! Turns Envoy's page for Prometheus into series that a test can ask for. Never fills in what is not there.

use std::collections::BTreeMap;

use super::envoy::Envoy;

/// All series of one look at an Envoy, by their name and labels.
#[derive(Debug)]
pub struct Scrape(pub Vec<Series>);

/// One line of the page.
#[derive(Debug)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Series {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Scrape {
    pub fn of(envoy: &Envoy) -> Self {
        Self::read(&envoy.admin_get("/stats/prometheus"))
    }

    pub fn read(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(lines.map(|line| series(line).unwrap_or_else(|| panic!("{line}"))).collect())
    }

    /// Those of this name with all these labels.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Series> {
        self.0.iter().filter(move |one| one.name == name && labels.iter().all(|(key, value)| one.label(key) == *value))
    }

    /// Their sum; the values of this project are whole numbers.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test are small")]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.find(name, labels).map(|one| one.value as u64).sum()
    }

    /// All values of a label.
    pub fn values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> = self.find(name, &[]).map(|one| one.label(label).to_owned()).collect();
        values.sort();
        values.dedup();
        values
    }
}

fn series(line: &str) -> Option<Series> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
    let mut rest = labels.strip_suffix('}')?;
    let mut read = BTreeMap::new();
    while let Some((key, behind)) = rest.split_once("=\"") {
        let (value, behind) = behind.split_once('"')?;
        read.insert(key.trim_start_matches(',').to_owned(), value.to_owned());
        rest = behind;
    }
    Some(Series { name: name.to_owned(), labels: read, value: value.parse().ok()? })
}
