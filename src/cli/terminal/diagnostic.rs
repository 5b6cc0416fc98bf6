//! Draws problems with the lines of the file that they are about.

use std::io;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Screen;
use tidegate_analysis::source::diagnostic::{Diagnostic, Severity};
use tidegate_analysis::source::{Document, Marked};

/// How many lines are shown before and behind the one that is meant.
const AROUND: usize = 1;

/// Shows messages to people, on the output.
pub(crate) fn show(screen: &mut Screen, document: &Document, list: &[Diagnostic]) -> io::Result<()> {
    let text = list.iter().map(|one| render(document, one, screen.is_colored())).collect::<Vec<_>>();
    text.iter().try_for_each(|text| screen.line(text))
}

/// What a file is that no config can be read from.
pub(crate) fn marked(marked: &Marked, colored: bool) -> String {
    render(&marked.document(), &Diagnostic::from(marked), colored)
}

/// The message and its lines.
pub(crate) fn render(document: &Document, diagnostic: &Diagnostic, colored: bool) -> String {
    let title = format!("{}: {}", diagnostic.path, diagnostic.message);
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(title.as_str());
    let title = match diagnostic.code {
        Some(code) => title.id(code),
        None => title,
    };
    let mut group = title.elements(Vec::<Snippet<'_, annotate_snippets::Annotation<'_>>>::new());
    let name = document.name();
    // What is drawn begins and ends between letters.
    let span = diagnostic.span.as_ref().map(|span| {
        let start = document.text.floor_char_boundary(span.start);
        start..document.text.ceil_char_boundary(span.end.max(start))
    });
    if let Some(span) = &span {
        // Of a large file only what is shown is handed on: the rest would be looked through for each message.
        let (from, to, line) = window(&document.text, span);
        let source = document.text.get(from..to).unwrap_or_default();
        let inside = span.start.saturating_sub(from)..span.end.min(to).saturating_sub(from);
        let snippet = Snippet::source(source)
            .path(name.as_str())
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(inside));
        group = group.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// The bytes of the lines around a place, and the number of the first of them.
fn window(text: &str, span: &Range<usize>) -> (usize, usize, usize) {
    let before = text.get(..span.start).unwrap_or_default();
    let from = before.rmatch_indices('\n').nth(AROUND).map_or(0, |(at, _)| at + 1);
    let behind = text.get(span.end..).unwrap_or_default();
    let to = behind.match_indices('\n').nth(AROUND).map_or(text.len(), |(at, _)| span.end + at);
    let line = text.get(..from).unwrap_or_default().matches('\n').count().saturating_add(1);
    (from, to, line)
}
