//! Turns the `match` of all flags into look-ups, so that a request costs what matches it and not what exists.
//!
//! Each flag is in one place of the index: under its hosts, under its paths (whichever fewer flags share), or among
//! those that every request has to try. The index only finds candidates: whether a flag matches, its own `Match` says.

use super::Match;
use super::work::{add, compare, looks};
use crate::value::order;

/// Which flags are worth asking for a request.
#[derive(Debug, Default)]
pub struct Index {
    /// Flags that any request may match.
    always: Box<[usize]>,
    /// Hosts, and domains behind a wildcard as `*.domain`.
    hosts: Table,
    paths: Table,
    /// The longest number of labels and segments that are worth looking up.
    labels: usize,
    segments: usize,
}

/// Sorted keys with the flags that stand under each.
type Table = Box<[(Box<[u8]>, Box<[usize]>)]>;

impl Index {
    pub(super) fn new<'m>(matches: impl Iterator<Item = &'m Match> + Clone) -> Self {
        // Paths begin with a slash or are empty, hosts do neither: one list can count both.
        let shared = order::of(matches.clone().flat_map(|flag| flag.hosts().chain(flag.paths())));
        let crowd = |patterns: &mut dyn Iterator<Item = &'m [u8]>| {
            let sharing = |pattern: &[u8]| {
                let below = shared.partition_point(|(known, _)| *known < pattern);
                shared.partition_point(|(known, _)| *known <= pattern).saturating_sub(below)
            };
            patterns.map(sharing).fold(0, usize::saturating_add)
        };
        let (mut always, mut hosts, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for (id, flag) in (0_usize..).zip(matches) {
            let (by_host, by_path) = (crowd(&mut flag.hosts()), crowd(&mut flag.paths()));
            let everywhere = flag.paths().any(<[u8]>::is_empty);
            if by_host > 0 && (by_path == 0 || everywhere || by_host <= by_path) {
                hosts.extend(flag.hosts().map(|host| (host, id)));
            } else if by_path > 0 && !everywhere {
                paths.extend(flag.paths().map(|path| (path, id)));
            } else {
                always.push(id);
            }
        }
        let most = |keys: &[(&[u8], usize)], border: u8| {
            let borders = |key: &[u8]| key.split(|byte| *byte == border).count();
            keys.iter().map(|(key, _)| borders(key)).max().unwrap_or_default()
        };
        let (labels, segments) = (most(&hosts, b'.'), most(&paths, b'/'));
        Self { always: always.into(), hosts: table(hosts), paths: table(paths), labels, segments }
    }

    /// The most that looking flags up and asking those that can match one request costs, by what each of them does.
    pub(super) fn heaviest(&self, prices: &[usize]) -> usize {
        let mut sum = 0;
        let add_all = |ids: &[usize], sum: &mut usize| {
            for id in ids {
                add(sum, 1, prices.get(*id).copied().unwrap_or_default());
            }
        };
        add_all(&self.always, &mut sum);
        for (table, borders, wild) in [(&self.hosts, self.labels, true), (&self.paths, self.segments, false)] {
            let (mut heaviest, mut longest) = (0, 0);
            for (key, ids) in table {
                // Beside it stand those of its beginnings, if it is a path, and of its domains, if it is a host.
                let mut together = 0;
                add_all(ids, &mut together);
                let border = if wild { b'.' } else { b'/' };
                // A wildcard is its own domain.
                let own = if key.first() == Some(&b'*') { 2 } else { 1 };
                for (at, _) in key.iter().enumerate().skip(own).filter(|(_, byte)| **byte == border) {
                    let mut domain = vec![b'*'];
                    domain.extend(key.get(at..).unwrap_or_default());
                    let other = if wild { &domain } else { key.get(..at).unwrap_or_default() };
                    add_all(look_up(table, other), &mut together);
                }
                heaviest = heaviest.max(together);
                longest = longest.max(key.len());
            }
            add(&mut sum, 1, heaviest);
            // What is looked up is half as long as the longest, on the average.
            add(&mut sum, borders.saturating_mul(looks(table.len())), compare(longest >> 1));
        }
        sum
    }

    /// Calls `visit` with each flag worth asking, in key order, each once.
    #[inline]
    pub fn candidates(&self, host: &[u8], path: &[u8], mut visit: impl FnMut(usize)) {
        if self.hosts.is_empty() && self.paths.is_empty() {
            // The usual small config: nothing to merge, nothing to allocate.
            self.always.iter().for_each(|id| visit(*id));
        } else {
            self.found(host, path).into_iter().for_each(|(_, id)| visit(id));
        }
    }

    /// What is worth asking by host and path, each once.
    #[inline(never)]
    fn found(&self, host: &[u8], path: &[u8]) -> Vec<(&'static [u8], usize)> {
        let mut found: Vec<(&'static [u8], usize)> = Vec::with_capacity(self.always.len().saturating_add(8));
        let mut add = |ids: &[usize]| found.extend(ids.iter().map(|id| (&[][..], *id)));
        add(&self.always);
        if !self.hosts.is_empty() {
            add(look_up(&self.hosts, host));
            // `*.shop.example` stands for every label in front: each border of the host is a place to look.
            let borders = host.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
            let mut wildcard = Vec::new();
            for border in borders.take(self.labels) {
                wildcard.clear();
                wildcard.push(b'*');
                wildcard.extend(host.get(border..).unwrap_or_default());
                add(look_up(&self.hosts, &wildcard));
            }
        }
        if !self.paths.is_empty() {
            let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for end in ends.chain([path.len()]).take(self.segments) {
                add(look_up(&self.paths, path.get(..end).unwrap_or_default()));
            }
        }
        order::sort(&mut found);
        found.dedup();
        found
    }
}

/// Groups flags by key.
fn table(mut keys: Vec<(&[u8], usize)>) -> Table {
    order::sort(&mut keys);
    keys.dedup();
    let groups = keys.chunk_by(|(one, _), (two, _)| one == two);
    groups
        .map(|group| (group.first().map_or(&[][..], |(key, _)| key).into(), group.iter().map(|(_, id)| *id).collect()))
        .collect()
}

fn look_up<'t>(table: &'t Table, key: &[u8]) -> &'t [usize] {
    let found = table.binary_search_by(|(stands, _)| (**stands).cmp(key));
    found.ok().and_then(|at| table.get(at)).map_or(&[], |(_, ids)| ids)
}

impl Match {
    fn hosts(&self) -> impl Iterator<Item = &[u8]> {
        self.hosts.iter().map(|host| host.as_str().as_bytes())
    }

    fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.paths.iter().map(|path| path.as_str().as_bytes())
    }

    /// Whether every request is one that the flag decides.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.hosts.is_empty() && self.paths.is_empty() && self.methods.is_empty()
    }

    /// Whether a request is one that the flag decides.
    #[inline]
    #[must_use]
    pub fn takes(&self, method: &[u8], host: &[u8], path: &[u8]) -> bool {
        self.takes_method(method) && self.takes_host(host) && self.takes_path(path)
    }

    /// Whether the method is one of the flag's.
    #[inline]
    #[must_use]
    pub fn takes_method(&self, method: &[u8]) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|known| known.as_str().as_bytes() == method)
    }

    #[inline]
    #[must_use]
    pub fn takes_host(&self, host: &[u8]) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.takes(host))
    }

    #[inline]
    #[must_use]
    pub fn takes_path(&self, path: &[u8]) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|prefix| prefix.takes(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::name::{HostPattern, PathPrefix};

    fn flag(hosts: &[&str], paths: &[&str]) -> Match {
        Match {
            hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
            paths: paths.iter().map(|path| PathPrefix::parse(path).unwrap()).collect(),
            methods: Box::default(),
        }
    }

    #[test]
    fn a_wildcard_takes_labels_and_nothing_less() {
        let flag = flag(&["*.shop.example"], &[]);
        for (host, takes) in [
            ("a.shop.example", true),
            ("a.b.shop.example", true),
            ("shop.example", false),
            (".shop.example", false),
            ("ashop.example", false),
            ("a.shop.example.org", false),
            ("", false),
        ] {
            assert_eq!(flag.takes(b"GET", host.as_bytes(), b"/"), takes, "{host:?}");
        }
    }

    #[test]
    fn the_index_agrees_with_asking_every_flag() {
        let flags = [
            flag(&[], &[]),
            flag(&["shop.example"], &[]),
            flag(&["*.shop.example", "*.example"], &[]),
            flag(&["shop.example"], &["/api"]),
            flag(&[], &["/api", "/api/v2/"]),
            flag(&[], &["/"]),
            flag(&["other.example", "shop.example"], &["/", "/x"]),
            flag(&["[::1]"], &["/a/b/c/d"]),
        ];
        let index = Index::new(flags.iter());
        for host in ["shop.example", "a.shop.example", "a.b.shop.example", ".example", "example", "[::1]", "", "..."] {
            for path in
                ["/", "/api", "/api/", "/apix", "/api/v2", "/api/v2/x", "/x", "", "*", "/a/b/c/d/e", "//", "/a/b/c/d"]
            {
                let (host, path) = (host.as_bytes(), path.as_bytes());
                let asked: Vec<usize> = (0..flags.len()).filter(|id| flags[*id].takes(b"GET", host, path)).collect();
                let mut found = Vec::new();
                index.candidates(host, path, |id| found.push(id));
                assert!(found.is_sorted(), "{found:?}");
                found.retain(|id| flags[*id].takes(b"GET", host, path));
                assert_eq!(found, asked, "{host:?} {path:?}");
            }
        }
    }

    #[test]
    fn flags_of_other_hosts_and_paths_are_not_asked() {
        let by_host: Vec<Match> = (0..500).map(|n| flag(&[&format!("s{n}.example")], &["/api"])).collect();
        let by_path: Vec<Match> = (0..500).map(|n| flag(&["shop.example"], &[&format!("/p{n}")])).collect();
        for (flags, host, path) in [(by_host, "s7.example", "/api"), (by_path, "shop.example", "/p7/x")] {
            let mut asked = 0;
            Index::new(flags.iter()).candidates(host.as_bytes(), path.as_bytes(), |_| asked += 1);
            assert_eq!(asked, 1);
        }
    }
}
