//! Says for one edit what is put where in the text.
//!
//! What is written takes the form of what it stands beside: in lines or in brackets, with the author's quotes. A line
//! that the edit is not about is never touched, but for a comma that JSON needs. Never reads a value.

use super::order::{ROOT, inside, place};
use super::scan::{Entry, Form, Scan, Site};
use super::{Comments, Edit, Path, Refusal, Splice, quote, refuse};
use crate::source::example::Step;
use tidegate_engine::config::Node;
use tidegate_engine::config::schema::shape::Shape;

/// How wide a map may be that is written into one line among lines.
const WIDTH: usize = 80;

/// What an edit puts where.
pub(super) fn splices(scan: &Scan<'_>, root: &Site, edit: &Edit, is_json: bool) -> Result<Vec<Splice>, Refusal> {
    let page = Page { scan, is_json };
    match edit {
        Edit::Set { at, to } => page.set(root, at, to),
        Edit::Insert { at, to } => page.insert(root, at, to),
        Edit::Remove { at, comments } => page.remove(root, at, *comments),
        Edit::Remark { at, text } if !is_json => page.remark(root, at, text),
        Edit::Unremark { at, start } if !is_json => page.unremark(root, at, start),
        Edit::Remark { .. } | Edit::Unremark { .. } => Ok(Vec::new()),
    }
}

/// Where a path ends in the text.
struct Way<'s> {
    /// The lists and maps that are gone through, each with the place of the entry that is taken.
    through: Vec<(&'s Site, usize)>,
    /// What stands at the end of what could be gone.
    site: &'s Site,
    shape: Shape,
    in_flow: bool,
    /// What is left of the path.
    rest: Vec<Step>,
}

impl<'s> Way<'s> {
    fn entry(&self) -> Option<&'s Entry> {
        self.through.last().and_then(|(site, at)| site.entries.get(*at))
    }
}

struct Page<'p> {
    scan: &'p Scan<'p>,
    is_json: bool,
}

impl Page<'_> {
    fn walk<'s>(&self, root: &'s Site, path: &Path) -> Result<Way<'s>, Refusal> {
        let mut way = Way { through: Vec::new(), site: root, shape: ROOT, in_flow: false, rest: path.0.clone() };
        loop {
            let site = way.site;
            self.sound(site)?;
            way.in_flow |= matches!(site.form, Form::Map { flow: true } | Form::List { flow: true });
            let Some(step) = way.rest.first().cloned() else { return Ok(way) };
            let found = match (&step, site.form) {
                (Step::Key(key), Form::Map { .. }) => site.entries.iter().position(|entry| *entry.name == **key),
                (Step::Index(index), Form::List { .. }) => Some(*index).filter(|index| *index < site.entries.len()),
                _ => None,
            };
            let Some(found) = found else {
                // What a merged map has inside would be lost with a map of its own in its place.
                if site.entries.iter().any(|entry| &*entry.name == "<<") && way.rest.len() > 1 {
                    let why = format!("{path}: comes from a merge (<<): write the value out where it is changed");
                    return Err(refuse(site.span.start, why));
                }
                return Ok(way);
            };
            let Some(entry) = site.entries.get(found) else { return Ok(way) };
            if let Step::Key(key) = &step {
                way.shape = inside(way.shape, key);
            }
            way.through.push((site, found));
            way.site = &entry.site;
            way.rest.remove(0);
        }
    }

    /// Whether a change here stays here.
    fn sound(&self, site: &Site) -> Result<(), Refusal> {
        let at = site.span.start;
        if matches!(site.form, Form::Alias(_)) {
            return Err(refuse(at, "an alias stands here: write the value out to change it here"));
        }
        if site.anchor.is_some_and(|id| self.scan.used.contains(&id)) {
            let why = "an anchor stands here, and a change would show wherever an alias leads to it: write the value out where it is used";
            return Err(refuse(at, why));
        }
        if site.is_tagged {
            return Err(refuse(at, "a tag stands here: quotes make text of a value"));
        }
        Ok(())
    }

    fn inline(&self, node: &Node, in_flow: bool) -> String {
        quote::inline(node, in_flow, self.is_json)
    }

    fn key(&self, key: &str, in_flow: bool) -> String {
        if self.is_json { quote::quoted(key) } else { quote::needed(key, in_flow, true) }
    }

    fn set(&self, root: &Site, path: &Path, to: &Node) -> Result<Vec<Splice>, Refusal> {
        let way = self.walk(root, path)?;
        let Some((first, deeper)) = way.rest.split_first() else { return self.replace(&way, to) };
        let mut value = to.clone();
        for step in deeper.iter().rev() {
            let Step::Key(key) = step else { return Err(self.missing(&way, path)) };
            value = Node::Map(vec![(key.as_str().into(), value)]);
        }
        let Step::Key(key) = first else { return Err(self.missing(&way, path)) };
        match way.site.form {
            Form::Map { flow } => self.add(way.site, key, &value, way.shape, flow || way.in_flow),
            Form::Empty => self.replace(&way, &Node::Map(vec![(key.as_str().into(), value)])),
            _ => Err(self.missing(&way, path)),
        }
    }

    #[expect(clippy::unused_self, reason = "what is missing, is missing on the page")]
    fn missing(&self, way: &Way<'_>, path: &Path) -> Refusal {
        refuse(way.site.span.start, format!("{path}: has no place here"))
    }

    /// A value in the place of another.
    fn replace(&self, way: &Way<'_>, to: &Node) -> Result<Vec<Splice>, Refusal> {
        let site = way.site;
        let text = match (site.form, to) {
            (Form::Single, Node::Text(text))
                if !text.contains('\'') && !text.chars().any(quote::is_unseen) && !self.is_json =>
            {
                format!("'{text}'")
            }
            (Form::Single | Form::Double, Node::Text(text)) => quote::quoted(text),
            // Who writes dates bare goes on so.
            (Form::Plain, Node::Text(text)) if quote::is_date(&site.raw) && quote::is_date(text) => text.to_string(),
            _ => self.inline(to, way.in_flow),
        };
        let Some(entry) = way.entry() else { return Err(refuse(site.span.start, "the whole config is not replaced")) };
        match site.form {
            Form::Empty => Ok(vec![(entry.from..entry.from, format!(" {text}"))]),
            Form::Plain | Form::Single | Form::Double | Form::Map { flow: true } | Form::List { flow: true } => {
                if self.scan.has_comment(site.span.clone()) {
                    return Err(refuse(site.span.start, "comments stand inside of what is to be replaced"));
                }
                Ok(vec![(site.span.clone(), text)])
            }
            Form::Literal | Form::Folded => {
                let head = self.scan.skip(entry.from);
                let rest = self.scan.text.get(head..).unwrap_or_default();
                let sign = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (from, end) = (self.scan.line_end(head), self.last(entry));
                Ok(vec![(head..head + sign, text), (from..end.max(from), String::new())])
            }
            Form::Map { flow: false } | Form::List { flow: false } => {
                let (from, end) = (entry.from, self.last(entry));
                if self.scan.has_comment(from..end) {
                    return Err(refuse(site.span.start, "comments stand inside of what is to be replaced"));
                }
                Ok(vec![(from..end, format!(" {text}"))])
            }
            Form::Alias(_) => Err(refuse(site.span.start, "an alias stands here")),
        }
    }

    /// Behind the last byte of an entry that is no blank.
    fn last(&self, entry: &Entry) -> usize {
        let end = entry.end();
        let text = self.scan.text.get(entry.at..end).unwrap_or_default();
        entry.at + text.trim_end().len()
    }

    /// The end of the last line of an entry, and of the comments that stand deeper below it.
    fn extent(&self, entry: &Entry) -> usize {
        let column = self.scan.front(entry.at).chars().count();
        let mut end = self.scan.line_end(self.last(entry));
        loop {
            let rest = self.scan.text.get(end..).unwrap_or_default();
            let next = end + rest.find('\n').map_or(rest.len(), |line| line + 1);
            let line = self.scan.text.get(next..self.scan.line_end(next)).unwrap_or_default();
            let deep = line.len() - line.trim_start().len() > column;
            if !line.trim_start().starts_with('#') || !deep {
                return end;
            }
            end = self.scan.line_end(next);
        }
    }

    /// An entry in lines, with a key of its own or as an item.
    fn lines(&self, head: &str, node: &Node, column: usize) -> String {
        let eol = self.scan.eol();
        if let Node::Map(entries) = node
            && head.ends_with(':')
            && !entries.is_empty()
        {
            let flat = self.inline(node, true);
            let is_nested = entries.iter().any(|(_, value)| matches!(value, Node::Map(inside) if inside.len() > 2));
            if is_nested || flat.chars().count() + head.chars().count() + column >= WIDTH {
                let deeper = column + 2;
                let inner = entries.iter().map(|(key, value)| {
                    let head = format!("{}:", self.key(key, false));
                    format!("{eol}{}{}", " ".repeat(deeper), self.lines(&head, value, deeper))
                });
                return format!("{head}{}", inner.collect::<String>());
            }
        }
        format!("{head} {}", self.inline(node, false))
    }

    /// A new field of a map, where the reference has it.
    fn add(&self, map: &Site, key: &str, value: &Node, shape: Shape, in_flow: bool) -> Result<Vec<Splice>, Refusal> {
        let place_of = |key: &str| place(shape, key);
        let behind = map.entries.iter().rposition(|entry| place_of(&entry.name) <= place_of(key));
        if matches!(map.form, Form::Map { flow: true }) {
            let piece = format!("{}: {}", self.key(key, true), self.inline(value, true));
            return self.put(map, behind.map_or(0, |behind| behind + 1), &piece);
        }
        let Some(first) = map.entries.first() else { return Err(refuse(map.span.start, "an empty map")) };
        let column = self.scan.front(first.at).chars().count();
        let head = format!("{}:", self.key(key, in_flow));
        let lines = self.lines(&head, value, column);
        Ok(vec![self.line(map, behind, column, &lines)])
    }

    /// New lines behind an entry, or in front of the first.
    fn line(&self, site: &Site, behind: Option<usize>, column: usize, lines: &str) -> Splice {
        let (eol, margin) = (self.scan.eol(), " ".repeat(column));
        // What stands above the first one speaks of that one.
        let above = |entry: &Entry| {
            let start = self.scan.line_start(entry.at);
            let line = start.checked_sub(1).map_or("", |end| self.scan.front(end));
            line.trim_start().starts_with('#')
        };
        let behind = behind.or_else(|| site.entries.first().filter(|first| above(first)).map(|_| 0));
        match (behind.and_then(|behind| site.entries.get(behind)), site.entries.first()) {
            (None, Some(first)) => (first.at..first.at, format!("{lines}{eol}{margin}")),
            (Some(entry), _) => {
                let end = self.extent(entry);
                (end..end, format!("{eol}{margin}{lines}"))
            }
            (None, None) => (site.span.end..site.span.end, lines.to_owned()),
        }
    }

    fn insert(&self, root: &Site, path: &Path, to: &Node) -> Result<Vec<Splice>, Refusal> {
        let mut of = path.clone();
        let Some(Step::Index(index)) = of.0.pop() else {
            return Err(refuse(root.span.start, format!("{path}: is no place in a list")));
        };
        let way = self.walk(root, &of)?;
        if !way.rest.is_empty() {
            return Err(self.missing(&way, path));
        }
        match way.site.form {
            Form::List { flow: true } => self.put(way.site, index, &self.inline(to, true)),
            Form::List { flow: false } => {
                let column = way.site.entries.first().map_or(0, |first| self.scan.front(first.at).chars().count());
                let lines = self.lines("-", to, column);
                Ok(vec![self.line(way.site, index.min(way.site.entries.len()).checked_sub(1), column, &lines)])
            }
            _ => Err(self.missing(&way, path)),
        }
    }

    /// A new entry between brackets, in front of the one at this place.
    fn put(&self, site: &Site, at: usize, piece: &str) -> Result<Vec<Splice>, Refusal> {
        let (scan, eol) = (self.scan, self.scan.eol());
        if let Some(next) = site.entries.get(at) {
            let margin = scan.front(next.at);
            let own = at > 0 && scan.is_first(next.at);
            let gap = if own { format!("{eol}{margin}") } else { " ".to_owned() };
            return Ok(vec![(next.at..next.at, format!("{piece},{gap}"))]);
        }
        let Some(last) = site.entries.last() else {
            let hollow = site.span.start + 1..site.span.end.saturating_sub(1);
            if scan.has_comment(hollow.clone()) {
                return Err(refuse(site.span.start, "a comment stands between empty brackets"));
            }
            return Ok(vec![(hollow, piece.to_owned())]);
        };
        let end = last.end();
        if !scan.is_first(last.at) {
            return Ok(vec![(end..end, format!(", {piece}"))]);
        }
        let margin = scan.front(last.at);
        let next = scan.skip(end);
        let comma = scan.text.get(next..).is_some_and(|rest| rest.starts_with(','));
        let behind = if comma { next + 1 } else { end };
        let line = scan.line_end(behind);
        if line >= site.span.end {
            return Ok(vec![(end..end, format!(",{eol}{margin}{piece}"))]);
        }
        let new = format!("{eol}{margin}{piece}{}", if comma { "," } else { "" });
        let mut splices = vec![(line..line, new)];
        if !comma {
            splices.push((end..end, ",".to_owned()));
        }
        Ok(splices)
    }

    fn remove(&self, root: &Site, path: &Path, comments: Comments) -> Result<Vec<Splice>, Refusal> {
        let way = self.walk(root, path)?;
        let found = way.through.last().filter(|_| way.rest.is_empty());
        let Some((site, at)) = found.copied() else { return Err(self.missing(&way, path)) };
        let Some(entry) = site.entries.get(at) else { return Err(self.missing(&way, path)) };
        if self.has_anchor(&entry.site) {
            return Err(refuse(entry.at, "an anchor stands inside, and an alias leads to it: write the value out"));
        }
        match site.form {
            Form::Map { flow: true } | Form::List { flow: true } => self.cut(site, at, comments),
            _ => self.drop(&way, site, at, comments),
        }
    }

    fn has_anchor(&self, site: &Site) -> bool {
        site.anchor.is_some_and(|id| self.scan.used.contains(&id))
            || site.entries.iter().any(|entry| self.has_anchor(&entry.site))
    }

    /// Takes an entry from between brackets.
    fn cut(&self, site: &Site, at: usize, comments: Comments) -> Result<Vec<Splice>, Refusal> {
        let scan = self.scan;
        let Some(entry) = site.entries.get(at) else { return Ok(Vec::new()) };
        let before = at.checked_sub(1).and_then(|before| site.entries.get(before));
        let range = match (before, site.entries.get(at + 1)) {
            (_, Some(next)) => entry.at..next.at,
            (Some(before), None) => before.end()..entry.end(),
            (None, None) => site.span.start + 1..site.span.end.saturating_sub(1),
        };
        let keep = comments == Comments::Keep && scan.has_comment(range.clone());
        let between = before.is_some_and(|before| scan.has_comment(before.end()..entry.at));
        let is_last = site.entries.get(at + 1).is_none();
        if keep || is_last && between {
            return Err(refuse(entry.at, "a comment stands beside what is to go: put the map into lines of its own"));
        }
        Ok(vec![(range, String::new())])
    }

    /// Takes an entry that stands in lines of its own.
    fn drop(&self, way: &Way<'_>, site: &Site, at: usize, comments: Comments) -> Result<Vec<Splice>, Refusal> {
        let scan = self.scan;
        let Some(entry) = site.entries.get(at) else { return Ok(Vec::new()) };
        let behind = scan.comment_behind(self.last(entry)).filter(|_| comments == Comments::Keep);
        if site.entries.len() == 1 {
            let empty = if matches!(site.form, Form::Map { .. }) { "{}" } else { "[]" };
            let around = way.through.iter().rev().nth(1).and_then(|(site, at)| site.entries.get(*at));
            if comments == Comments::Keep && scan.has_comment(entry.at..self.extent(entry)) {
                return Err(refuse(entry.at, "a comment stands beside what is to go, and nothing else is there"));
            }
            let Some(around) = around else { return Ok(vec![(site.span.clone(), empty.to_owned())]) };
            let end = self.extent(entry);
            return Ok(vec![(around.from..end.max(around.from), format!(" {empty}"))]);
        }
        if !scan.is_first(entry.at) {
            // It shares its line with the dash of a list: the next one moves up.
            return match site.entries.get(at + 1) {
                Some(next) if !scan.has_comment(entry.at..next.at) => Ok(vec![(entry.at..next.at, String::new())]),
                _ => Err(refuse(entry.at, "a comment stands beside what is to go: put it above")),
            };
        }
        if let Some(comment) = behind {
            return Ok(vec![(entry.at..comment.start, String::new())]);
        }
        let end = match comments {
            Comments::Keep => scan.line_end(self.last(entry)),
            Comments::Drop => self.extent(entry),
        };
        let mut start = scan.line_start(entry.at);
        if comments == Comments::Drop {
            start = self.above(start, scan.front(entry.at));
        }
        // A line goes with the line break in front of it, so that the text ends as it did.
        let text = scan.text;
        let breaks = |start: usize| {
            let before = text.get(..start).unwrap_or_default();
            before.strip_suffix('\n').map(|rest| rest.strip_suffix('\r').unwrap_or(rest).len())
        };
        let Some(from) = breaks(start) else {
            let rest = text.get(end..).unwrap_or_default();
            return Ok(vec![(start..end + rest.find('\n').map_or(0, |line| line + 1), String::new())]);
        };
        // Of two blank lines that now stand beside each other, one is enough.
        let below = text.get(end..).unwrap_or_default().trim_start_matches('\r');
        let blank_below =
            below.trim().is_empty() || below.strip_prefix('\n').is_some_and(|line| line.starts_with(['\n', '\r']));
        if comments == Comments::Drop
            && blank_below
            && let Some(before) = breaks(from)
            && text.get(before..from).is_some_and(|line| line.trim().is_empty())
        {
            return Ok(vec![(before..end, String::new())]);
        }
        // What is now the first needs no blank line above it.
        let mut end = end;
        if comments == Comments::Drop && at == 0 && blank_below {
            let rest = text.get(end..).unwrap_or_default();
            end += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
        }
        Ok(vec![(from..end, String::new())])
    }

    /// Where the comments begin that stand right above a line, as deep as it.
    fn above(&self, mut start: usize, margin: &str) -> usize {
        while let Some(end) = start.checked_sub(1) {
            let line = self.scan.front(end);
            let is_ours = line.strip_prefix(margin).is_some_and(|rest| rest.starts_with('#'));
            if !is_ours {
                break;
            }
            start = end - line.len();
        }
        start
    }

    /// The end of what a path leads to.
    fn end_of(&self, root: &Site, path: &Path) -> Result<usize, Refusal> {
        let way = self.walk(root, path)?;
        match way.entry().filter(|_| way.rest.is_empty()) {
            Some(entry) => Ok(self.last(entry)),
            None => Err(self.missing(&way, path)),
        }
    }

    fn remark(&self, root: &Site, path: &Path, text: &str) -> Result<Vec<Splice>, Refusal> {
        let line = self.scan.line_end(self.end_of(root, path)?);
        let text: String = text.chars().map(|c| if quote::is_unseen(c) { ' ' } else { c }).collect();
        Ok(vec![(line..line, format!("  # {text}"))])
    }

    fn unremark(&self, root: &Site, path: &Path, start: &str) -> Result<Vec<Splice>, Refusal> {
        let end = self.end_of(root, path)?;
        let Some(comment) = self.scan.comment_behind(end) else { return Ok(Vec::new()) };
        let words = self.scan.text.get(comment.clone()).unwrap_or_default();
        let Some(found) = words.find(&format!("# {start}")) else { return Ok(Vec::new()) };
        let from = comment.start + found;
        let blanks = self.scan.text.get(..from).unwrap_or_default();
        Ok(vec![(blanks.trim_end_matches([' ', '\t']).len()..comment.end, String::new())])
    }
}
