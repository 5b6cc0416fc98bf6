//! `release`: puts what was built into the folder of a release, with images, archives, bills of material, provenance and
//! checksums. The Makefile builds, and says where everything is.

use clap::Parser;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_release::archive::Files;
use tidegate_release::image::Image;
use tidegate_release::{Error, bill, provenance, read, sha256};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];
/// Folders of the repository that a user applies or copies.
const MANIFESTS: [&str; 6] = ["ci", "gateway", "istio", "native", "observability", "policy"];
/// Single files of the repository, and what they are called in a release.
const SINGLE: [(&str, &str); 3] = [
    ("envoy/schema.json", "schema.json"),
    ("envoy/observability/tidegate.json", "dashboard.json"),
    ("envoy/observability/rules.yaml", "rules.yaml"),
];

#[derive(Debug, Parser)]
struct Args {
    /// The root of the repository
    #[arg(long)]
    root: PathBuf,
    /// The folder of the release, which is made anew
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    wasm: PathBuf,
    /// The native door
    #[arg(long)]
    library: PathBuf,
    /// The command
    #[arg(long)]
    command: PathBuf,
    /// The demo
    #[arg(long)]
    demo: PathBuf,
    /// What command and demo were built for
    #[arg(long)]
    target: String,
    /// Who builds, as a URL
    #[arg(long, default_value = "local")]
    builder: String,
}

/// The folder of the release: each file by its name.
struct Out<'o> {
    folder: &'o Path,
    digests: BTreeMap<String, String>,
}

impl Out<'_> {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        fs::write(self.folder.join(name), bytes)?;
        self.digests.insert(name.to_owned(), sha256(bytes));
        say(&format!("{:>11}  {name}", bytes.len()))
    }

    fn put_program(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt as _;
        self.put(name, bytes)?;
        Ok(fs::set_permissions(self.folder.join(name), fs::Permissions::from_mode(0o755))?)
    }

    /// An image as a folder, for tools that read one, and as one file.
    fn image(&mut self, name: &str, archive: &str, image: &Image) -> Result<(), Error> {
        let layout = self.folder.join("oci").join(name);
        let digest = image.write(&layout, VERSION)?;
        let mut files = Files::default();
        for inside in ["index.json", "oci-layout"] {
            files.add(inside, read(&layout.join(inside))?);
        }
        files.add_folder(&layout.join("blobs"), "blobs")?;
        self.put(archive, &files.tar()?)?;
        self.put(&format!("{archive}.digest"), format!("{digest}\n").as_bytes())
    }
}

fn say(line: &str) -> Result<(), Error> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn main() -> Result<(), Error> {
    let args = Args::parse();
    if args.out.exists() {
        fs::remove_dir_all(&args.out)?;
    }
    fs::create_dir_all(&args.out)?;
    let mut out = Out { folder: &args.out, digests: BTreeMap::new() };
    let (root, target) = (&args.root, args.target.as_str());
    let arch = target.split('-').next().unwrap_or_default();

    let module = read(&args.wasm)?;
    out.put("tidegate.wasm", &module)?;
    out.put("tidegate.wasm.sha256", format!("{}  tidegate.wasm\n", sha256(&module)).as_bytes())?;
    out.image("tidegate", "tidegate-oci.tar", &Image::of_module(module))?;

    let command = read(&args.command)?;
    out.put(&format!("tidegate-{target}.tar.gz"), &with_manual(&args, &command)?)?;
    out.put_program(&format!("tidegate-demo-{target}"), &read(&args.demo)?)?;
    // A program for another system is none for a container.
    if target.contains("linux") {
        let image = Image::of_command(command)?;
        out.image("tidegate-cli", &format!("tidegate-cli-oci-{}.tar", image.architecture()), &image)?;
    }
    let extension = args.library.extension().and_then(|end| end.to_str()).unwrap_or("so");
    let system = if target.contains("linux") { "unknown-linux-gnu" } else { "apple-darwin" };
    out.put(&format!("libtidegate-{arch}-{system}.{extension}"), &read(&args.library)?)?;

    let mut manifests = Files::default();
    for folder in MANIFESTS.iter().map(|name| Path::new("envoy").join(name)).filter(|path| root.join(path).is_dir()) {
        manifests.add_folder(&root.join(&folder), &format!("tidegate-{VERSION}/{}", folder.display()))?;
    }
    out.put("manifests.tar.gz", &manifests.tar_gz()?)?;
    for (path, name) in SINGLE {
        out.put(name, &read(&root.join(path))?)?;
    }

    let bills = [
        ("tidegate.wasm.cdx.json", "tidegate-filter", "wasm32-unknown-unknown"),
        ("tidegate.cdx.json", "tidegate", target),
        ("libtidegate.cdx.json", "tidegate-module", target),
    ];
    for (name, package, target) in bills {
        out.put(name, &bill::of(root, package, target)?)?;
    }
    let statement = provenance::statement(root, &out.digests, &args.builder)?;
    out.put("provenance.json", format!("{statement:#}\n").as_bytes())?;
    let sums: Vec<String> = out.digests.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    fs::write(args.out.join("SHA256SUMS"), sums.concat())?;
    say(&format!("Tidegate {VERSION} is in {}: check it with sha256sum --check SHA256SUMS", args.out.display()))
}

/// The command with its manual and what shells complete it by; cargo-binstall takes this archive, too.
fn with_manual(args: &Args, command: &[u8]) -> Result<Vec<u8>, Error> {
    let top = format!("tidegate-{}", args.target);
    let mut files = Files::default();
    files.add_program(&format!("{top}/tidegate"), command.to_vec());
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        files.add(&format!("{top}/{name}"), read(&args.root.join(name))?);
    }
    for shell in SHELLS {
        let script = run(Command::new(&args.command).args(["completions", shell]))?;
        files.add(&format!("{top}/completions/tidegate.{shell}"), script);
    }
    let pages = args.out.join("man");
    run(Command::new(&args.command).arg("man").arg(&pages))?;
    files.add_folder(&pages, &format!("{top}/man"))?;
    fs::remove_dir_all(&pages)?;
    files.tar_gz()
}

fn run(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(output.stdout)
}
