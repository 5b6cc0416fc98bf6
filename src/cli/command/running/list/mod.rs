//! `tidegate list`: the catalogue of flags, from configs and from running proxies, as a table, JSON, Markdown or a page.
//!
//! [`mod@sources`] has where flags are found; what is said of them is the analysis' to say. Never changes a config or a
//! proxy.

mod sources;

use std::fs;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::error::{CliError, Found};
use crate::input::cluster::ClusterArgs;
use crate::input::files::{self, VARIABLE};
use crate::input::http::Asking;
use crate::input::time::When;
use crate::terminal::screen::width;
use crate::terminal::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use crate::terminal::{Rows, Screen};
use sources::{Files, Objects, Proxies, Seen, Source};
use tidegate_analysis::catalogue::{Catalogue, Entry, Filter, Order, page, written};
use tidegate_analysis::source::diagnostic::nearest;
use tidegate_analysis::words::number::count;
use tidegate_engine::config::{Kind, Stage};

/// List all flags: who owns them, who gets what now, how they stand, how old they are and when they expire
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A flag in several places is one row, and where the places differ is said below.
Share now: who gets another variant than the baseline, of everybody; rules with a condition are counted, as nobody knows how many fit.
Of a proxy it is what runs: the steps that were taken, and nobody after a rollback.
Age: since the flag's created, or since it came into the file in git.
Exit code: 1 if a proxy is silent.")]
pub(crate) struct Args {
    /// The configs, manifests that contain them, or folders; REV:PATH reads one from git [default: tidegate.yaml, if no
    /// proxy and no object is named]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    files: Vec<String>,
    /// The admin interface of an Envoy, such as http://localhost:9901; may be repeated
    #[arg(long, value_name = "URL")]
    proxy: Vec<String>,
    /// An object of the cluster that holds a config, such as wasmplugin/tidegate; may be repeated
    #[arg(long, value_name = "KIND/NAME")]
    on: Vec<String>,
    /// The labels of Pods whose proxies are asked, such as app=checkout
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    /// The port of a Pod that has the page /stats/prometheus: the one of Istio, or of an admin interface
    #[arg(long, value_name = "PORT", default_value_t = 15090, requires = "selector")]
    port: u16,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only flags of this owner; may be repeated
    #[arg(long, value_name = "OWNER")]
    owner: Vec<String>,
    /// Only flags of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Vec<OfKind>,
    /// Only flags in this stage; may be repeated
    #[arg(long, value_name = "STAGE", value_enum)]
    stage: Vec<OfStage>,
    /// Only flags whose expiry date is over
    #[arg(long)]
    expired: bool,
    /// Only flags with this word in what is said of them; may be repeated, and all must be there
    #[arg(long, value_name = "WORD")]
    search: Vec<String>,
    /// What comes first
    #[arg(long, value_name = "BY", value_enum, default_value_t = By(Order::Key))]
    sort: By,
    /// How the list is written
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    /// Write one page of HTML, which can be searched and sorted, and needs nothing else; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    html: Option<String>,
    /// Do not ask git when flags came
    #[arg(long)]
    no_history: bool,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table, for people
    Text,
    /// A table of Markdown, for an issue or a wiki
    Markdown,
    /// One document, as of --output json
    Json,
}

/// A word of the engine's or the analysis', as an option takes it.
#[derive(Clone, Copy, Debug)]
struct OfKind(Kind);

#[derive(Clone, Copy, Debug)]
struct OfStage(Stage);

#[derive(Clone, Copy, Debug)]
struct By(Order);

impl ValueEnum for OfKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Kind::Release), Self(Kind::Experiment), Self(Kind::Operational), Self(Kind::KillSwitch)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

impl ValueEnum for OfStage {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Stage::Experimental), Self(Stage::Trusted), Self(Stage::Stable)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

impl ValueEnum for By {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: &[By] = &[
            By(Order::Key),
            By(Order::Owner),
            By(Order::Type),
            By(Order::Stage),
            By(Order::Share),
            By(Order::Standing),
            By(Order::Age),
            By(Order::Expires),
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self.0 {
            Order::Key => "key",
            Order::Owner => "owner",
            Order::Type => "type",
            Order::Stage => "stage",
            Order::Share => "share",
            Order::Standing => "standing",
            Order::Age => "age",
            Order::Expires => "expires",
        }))
    }
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let format = match (args.format, screen.is_json()) {
        (Some(Format::Text | Format::Markdown), true) => {
            return Err(CliError::Usage("--format cannot be used with --output json".to_owned()));
        }
        (format, is_json) => format.unwrap_or(if is_json { Format::Json } else { Format::Text }),
    };
    let at = args.when.time();
    let mut seen = Seen::default();
    for source in sources(args)? {
        source.look(at, &mut seen, screen)?;
    }
    let mut catalogue = Catalogue::new(seen.origins, seen.sightings, at);
    known(args, &catalogue)?;
    catalogue.filter(&Filter {
        owners: args.owner.clone(),
        kinds: args.kind.iter().map(|kind| kind.0).collect(),
        stages: args.stage.iter().map(|stage| stage.0).collect(),
        expired: args.expired,
        words: args.search.clone(),
    });
    catalogue.sort(args.sort.0);
    let found = Found::when(catalogue.origins.iter().any(|origin| origin.silent.is_some()));
    screen.decide(found);
    if let Some(file) = &args.html {
        let html = page::html(&catalogue);
        if file == "-" {
            screen.raw(&html)?;
            return Ok(found);
        }
        fs::write(file, html).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    match (format, &args.html) {
        (Format::Json, _) => screen.json(&written::json(&catalogue))?,
        (Format::Markdown, _) => screen.raw(&written::markdown(&catalogue))?,
        (Format::Text, Some(file)) => screen.remark(format!("{file}: {}", sum(&catalogue)))?,
        (Format::Text, None) => show(&catalogue, screen)?,
    }
    Ok(found)
}

/// Where flags are looked for: in files first.
fn sources(args: &Args) -> Result<Vec<Box<dyn Source>>, CliError> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let (asks_proxies, asks_objects) = (!args.proxy.is_empty() || args.selector.is_some(), !args.on.is_empty());
    if !args.files.is_empty() || !(asks_proxies || asks_objects) {
        sources.push(Box::new(Files { paths: files::or_usual(&args.files)?, history: !args.no_history }));
    }
    if asks_objects {
        sources.push(Box::new(Objects { places: args.on.clone(), cluster: args.cluster.clone() }));
    }
    if asks_proxies {
        let pods = args.selector.clone().map(|selector| (selector, args.port));
        let (urls, cluster) = (args.proxy.clone(), args.cluster.clone());
        sources.push(Box::new(Proxies { urls, pods, cluster, asking: args.asking }));
    }
    Ok(sources)
}

/// Whether the owners that were asked for own anything.
fn known(args: &Args, catalogue: &Catalogue) -> Result<(), CliError> {
    let Some(owner) = args.owner.iter().find(|owner| !catalogue.owners().any(|known| known == *owner)) else {
        return Ok(());
    };
    let meant = nearest(owner, catalogue.owners()).map(|name| format!(": did you mean {name}?"));
    Err(format!("no flag has the owner {owner}{}", meant.unwrap_or_default()).into())
}

/// `3 of 12 flags in 2 places`
fn sum(catalogue: &Catalogue) -> String {
    let places = count(catalogue.origins.len(), "place");
    let flags = match catalogue.entries.len() {
        shown if shown == catalogue.all => count(shown, "flag"),
        shown => format!("{shown} of {}", count(catalogue.all, "flag")),
    };
    format!("{flags} in {places}")
}

fn show(catalogue: &Catalogue, screen: &mut Screen) -> Result<(), CliError> {
    let several = catalogue.origins.len() > 1;
    let mut columns = vec!["flag", "type", "stage", "owner", "share now", "standing", ">age", "expires"];
    columns.extend(several.then_some("where"));
    columns.push("description");
    let mut rows = Rows::new(&columns);
    for entry in &catalogue.entries {
        rows.add(cells(catalogue, entry, several));
    }
    if !catalogue.entries.is_empty() {
        match width() {
            Some(width) => screen.table_within(&rows, width)?,
            None => screen.table(&rows)?,
        }
    }
    for entry in &catalogue.entries {
        for one in &entry.differences {
            let said = written::difference(catalogue, one);
            screen.line(format!("{} {}: {said}", paint(ODD, "differs"), paint(MAIN, &entry.key)))?;
        }
    }
    for origin in &catalogue.origins {
        if let Some(why) = &origin.silent {
            screen.line(format!("{} {}: {why}", paint(BAD, "silent"), origin.name))?;
        }
    }
    screen.remark(sum(catalogue))?;
    Ok(())
}

fn cells(catalogue: &Catalogue, entry: &Entry, several: bool) -> Vec<String> {
    let style = match entry.standing {
        Some("killed" | "rolled_back") => BAD,
        Some("held" | "trial") => ODD,
        _ => GOOD,
    };
    let painted = |style, text: String| if text.is_empty() { text } else { paint(style, text) };
    let expiry = written::expiry(entry, catalogue);
    let mut cells = vec![
        paint(MAIN, &entry.key),
        entry.kind().map_or("", Kind::name).to_owned(),
        entry.stage().map_or("", Stage::name).to_owned(),
        entry.owner().unwrap_or_default().to_owned(),
        entry.share_text(),
        painted(style, entry.standing_text()),
        written::age(entry, catalogue),
        if entry.is_over(catalogue.at) { painted(ODD, expiry) } else { expiry },
    ];
    if several {
        let first = entry.places.first().map_or("", |place| written::name(catalogue, *place));
        let more = entry.places.len().saturating_sub(1);
        cells.push(if more > 0 { format!("{first} +{more}") } else { first.to_owned() });
    }
    cells.push(painted(FAINT, entry.description().unwrap_or_default().to_owned()));
    cells
}
