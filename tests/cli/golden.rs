//! Runs the command as a shell would, and holds every word that it says to its golden text.
//!
//! A file below `tests/cli` is what is typed and what comes back. `TRYCMD=overwrite` writes the files anew, for a
//! person to read the difference. Never looks into the command.

#[test]
fn every_word_is_golden() {
    // The commands name their files from the root, where people type them.
    std::env::set_current_dir(kit::envoy::repository()).expect("the root is there");
    trycmd::TestCases::new().env("GIT_AUTHOR_NAME", "Ana").case("tests/cli/*.trycmd");
}
