//! The bill of materials of an artefact: the crates that it is made of, as `CycloneDX`.
//!
//! Cargo resolves them; features are those of the whole workspace, so that the list may hold a crate more than the
//! artefact, and none less.

use crate::Error;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata as BomMetadata;
use cyclonedx_bom::prelude::{Bom, Purl, SpdxExpression};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The bill of a package of the workspace, as it is built for a target.
///
/// # Errors
///
/// If Cargo cannot resolve the workspace, or has no such package.
pub fn of(root: &Path, package: &str, target: &str) -> Result<Vec<u8>, Error> {
    let options = ["--locked", "--filter-platform", target].map(str::to_owned).to_vec();
    let metadata = MetadataCommand::new().current_dir(root).other_options(options).exec()?;
    let top = metadata.workspace_packages().into_iter().find(|one| one.name.as_str() == package);
    let top = top.ok_or_else(|| format!("the workspace has no package {package}"))?;
    let needs = needs(&metadata, &top.id);
    let packages = metadata.packages.iter().filter(|one| needs.contains_key(&one.id));
    let components = packages.filter(|one| one.id != top.id).map(|one| component(one, Classification::Library));
    let names: BTreeMap<&PackageId, String> = metadata.packages.iter().map(|one| (&one.id, reference(one))).collect();
    let name = |id: &PackageId| names.get(id).cloned().unwrap_or_default();
    let dependencies = needs
        .iter()
        .map(|(id, needs)| Dependency { dependency_ref: name(id), dependencies: needs.iter().map(&name).collect() });
    let bom = Bom {
        serial_number: None,
        metadata: Some(BomMetadata {
            component: Some(component(top, Classification::Application)),
            ..BomMetadata::default()
        }),
        components: Some(Components(components.collect())),
        dependencies: Some(Dependencies(dependencies.collect())),
        ..Bom::default()
    };
    let mut json = Vec::new();
    bom.output_as_json_v1_5(&mut json)?;
    Ok(json)
}

/// What each package needs to run, from the top down.
fn needs(metadata: &Metadata, top: &PackageId) -> BTreeMap<PackageId, BTreeSet<PackageId>> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.clone()];
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let nodes: BTreeMap<&PackageId, _> = nodes.map(|node| (&node.id, node)).collect();
    while let Some(id) = open.pop() {
        if found.contains_key(&id) {
            continue;
        }
        let all = nodes.get(&id).into_iter().flat_map(|node| &node.deps);
        let normal = all.filter(|need| need.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        let needs: BTreeSet<PackageId> = normal.map(|need| need.pkg.clone()).collect();
        open.extend(needs.iter().cloned());
        found.insert(id, needs);
    }
    found
}

fn reference(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

fn component(package: &Package, kind: Classification) -> Component {
    let (name, version) = (package.name.as_str(), package.version.to_string());
    let mut component = Component::new(kind, name, &version, Some(reference(package)));
    component.purl = Purl::new("cargo", name, &version).ok();
    component.description = package.description.as_deref().map(NormalizedString::new);
    let license = package.license.as_deref().and_then(|text| SpdxExpression::try_from(text.to_owned()).ok());
    component.licenses = license.map(|license| Licenses(vec![LicenseChoice::Expression(license)]));
    component
}
