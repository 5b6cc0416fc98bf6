//! The commands of the pages: each is run, and prints what is shown.

mod shell;

use crate::pages::{blocks_of, page, pages};
use kit::envoy::{ENVOY, Pushed, repository};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::Value;
use shell::{Shell, compare, run, words};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_command_does_what_is_shown() {
    for page in pages() {
        let mut shell = Shell::new(page.blocks().iter().filter_map(|block| Some((block.file()?, block.text.as_str()))));
        for block in page.blocks().iter().filter(|block| block.kind == "console") {
            let mut lines = block.text.lines().peekable();
            while let Some(line) = lines.next() {
                let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command begins with {line}"));
                let mut shown = Vec::new();
                while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                    shown.push(line);
                }
                let output = shell.run(command);
                // What only narrates is not shown.
                if !shown.is_empty() || command.contains('|') {
                    compare(command, &shown, &output);
                }
            }
        }
        assert!(!shell.is_running(), "{} starts an Envoy and does not stop it", page.path);
    }
}

/// What `explain` says of a recipe is what an Envoy does with the same request.
#[test]
fn every_recipe_does_in_an_envoy_what_explain_says() {
    let recipes = page("docs/recipes.md");
    let files: Vec<(String, String)> =
        recipes.blocks().iter().filter_map(|block| Some((block.file()?.to_owned(), block.text.clone()))).collect();
    let config = |name: &str| -> String {
        let (_, text) = files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("there is no {name}"));
        serde_saphyr::from_str::<Value>(text).unwrap().to_string()
    };
    let mut shell = Shell::new(files.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    let envoy = Scene::new(config("percent.yaml")).start();
    let mut tried = std::collections::BTreeSet::new();
    let shown = recipes.blocks().into_iter().filter(|block| block.kind == "console").map(|block| block.text);
    for line in shown.collect::<String>().lines().filter_map(|line| line.strip_prefix("$ tidegate explain ")) {
        let mut words = words(line).into_iter();
        let file = words.next().unwrap();
        let mut request = Request::get("/");
        let mut other = false;
        while let Some(word) = words.next() {
            let value = words.next().unwrap();
            match word.as_str() {
                "-H" => {
                    let (name, value) = value.split_once(": ").unwrap();
                    request = request.header(name, value);
                }
                "--path" => request.path = value.into_bytes(),
                // What a proxy is called is not in a request.
                "--proxy" => other = true,
                word => panic!("{word} is no part of a request that this test knows"),
            }
        }
        if other {
            continue;
        }
        assert_eq!(envoy.push(&config(&file)), Pushed::Accepted, "{file}");
        let said = shell.run(&format!("tidegate explain {line}"));
        let answer = envoy.client().send(&request);
        if let Some(status) = said.split_once("the proxy answers with ").and_then(|(_, rest)| rest.split(':').next()) {
            assert_eq!(answer.status.to_string(), status, "{line}");
        } else {
            let got = answer.upstream();
            let due = said.lines().filter_map(|line| line.strip_prefix("+ ")?.split_once(": "));
            let mut flags = 0;
            for (name, value) in due {
                assert_eq!(got.header(name), Some(value), "{line}");
                flags += usize::from(name.starts_with("x-flag-"));
            }
            let all = got.headers.iter().filter(|(name, _)| name.starts_with("x-flag-")).count();
            assert_eq!(all, flags, "{line}");
        }
        tried.insert(file);
    }
    assert!(tried.len() >= 10, "{tried:?}");
}

#[test]
fn every_command_names_what_is_there() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let shown = blocks_of("console").concat().replace("\n$ ", "\n") + &blocks_of("sh").concat();
    for command in shown.lines().flat_map(|line| line.trim_start_matches("$ ").split(" && ")) {
        let words: Vec<&str> = command.split_whitespace().collect();
        if let ["make", target, ..] = words[..] {
            assert!(makefile.contains(&format!("\n{target}: ")), "there is no {command}");
        }
        for pair in words.windows(2).filter(|pair| pair[0] == "-f") {
            assert!(repository().join(pair[1]).is_file(), "{command}: there is no {}", pair[1]);
        }
    }
    assert!(makefile.contains(&format!("ENVOY_VERSION := {ENVOY}\n")), "tests and demo run different Envoys");
}

#[test]
fn a_tag_makes_the_release_that_make_makes() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let workflow: Value = serde_saphyr::from_str(&read(".github/workflows/release.yaml")).unwrap();
    assert_eq!(workflow["on"]["push"]["tags"][0], "v*");
    let steps = workflow["jobs"]["build"]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["run"] == "make release"));
    assert!(read("Makefile").contains("\nrelease: "));
    // What the README says that a release has is what is put there, and what cargo-binstall is told.
    let made = read("src/release/bin/release.rs");
    for part in ["tidegate.wasm", "tidegate-oci.tar", "manifests.tar.gz", "schema.json", "dashboard.json", "rules.yaml"]
    {
        assert!(
            made.contains(&format!("\"{part}\"")) && page("README.md").text.contains(&format!("`{part}`")),
            "{part}"
        );
    }
    assert!(
        made.contains("\"tidegate-{target}.tar.gz\"")
            && read("src/cli/Cargo.toml").contains("/tidegate-{ target }.tar.gz")
    );
}

#[test]
fn compose_mounts_files_that_exist_and_opens_three_ports() {
    let folder = repository().join("envoy");
    let compose: Value =
        serde_saphyr::from_str(&fs::read_to_string(folder.join("docker-compose.yaml")).unwrap()).unwrap();
    let service = &compose["services"]["envoy"];
    assert_eq!(service["image"], format!("envoyproxy/envoy:v{ENVOY}"));
    let mut mounted = Vec::new();
    for volume in service["volumes"].as_array().unwrap() {
        let short = volume.as_str().and_then(|text| text.split_once(':'));
        let source = short.map_or_else(|| volume["source"].as_str().unwrap(), |(source, _)| source);
        let target = short.map_or_else(|| volume["target"].as_str().unwrap(), |(_, target)| target);
        // The module is built before, and where is cargo's to say.
        let built = Path::new(source) == Path::new("..").join("target").join("tidegate.wasm");
        assert!(built || folder.join(source).exists(), "{source} does not exist");
        mounted.push(Path::new(target.trim_end_matches(":ro")).strip_prefix("/tidegate").unwrap().to_owned());
    }
    for needed in ["envoy.yaml", "upstream.lua", "configs", "tidegate.wasm"] {
        assert!(mounted.iter().any(|target| target == Path::new(needed)), "{needed} is not mounted");
    }
    let script = service["command"][0].as_str().unwrap().replace("$$", "$");
    let scene = script.lines().find(|line| line.starts_with("scene=")).unwrap();
    let scene = run(Command::new("sh").args(["-c", &format!("{scene}; printf %s \"$scene\"")]).current_dir(folder));
    assert_eq!(scene.matches("0.0.0.0").count(), 3);
    for open in [10_000, 10_003, 9_901] {
        let open = format!("{{address: 0.0.0.0, port_value: {open}}}");
        assert!(scene.contains(&open), "{open}");
    }
    serde_saphyr::from_str::<Value>(&scene).unwrap();
}
