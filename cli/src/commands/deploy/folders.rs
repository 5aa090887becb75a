//! The folders of builds below the state folder: what is deployed next, what was last, and the one
//! before, which `--rollback` deploys again.
//!
//! ```text
//! .cauce/build/<env>            what Terraform reads: always the same place, so that a plan shows no paths
//! .cauce/build/<env>.deployed   as it was when it was last applied
//! .cauce/build/<env>.previous   as it was applied before that
//! .cauce/build/<env>.tfplan     the plan that is applied
//! .cauce/build/<env>.lock       locked by who deploys
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Failure;

/// The folders of one environment.
pub(super) struct Folders {
    pub(super) build: PathBuf,
    deployed: PathBuf,
    pub(super) previous: PathBuf,
}

impl Folders {
    pub(super) fn new(state_dir: &Path, env: &str) -> Self {
        let builds = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned()).join("build");
        Self {
            build: builds.join(env),
            deployed: builds.join(format!("{env}.deployed")),
            previous: builds.join(format!("{env}.previous")),
        }
    }

    /// The file of Terraform's plan.
    pub(super) fn plan(&self) -> PathBuf {
        self.build.with_extension("tfplan")
    }

    /// The file that is locked by who deploys.
    pub(super) fn lock(&self) -> PathBuf {
        self.build.with_extension("lock")
    }

    /// An empty build folder: pipelines that are gone from the project are gone from it too.
    pub(super) fn clear_build(&self) -> Result<(), Failure> {
        remove(&self.build)?;
        fs::create_dir_all(&self.build).map_err(|error| Failure::file("create", &self.build, &error))
    }

    /// Puts the build before the last where Terraform reads.
    pub(super) fn restore_previous(&self) -> Result<(), Failure> {
        if !self.previous.is_dir() {
            return Err(Failure::bad_input("there is no earlier build on this machine to go back to").help(
                "builds are kept where 'cauce deploy' ran; elsewhere check the earlier commit out and deploy it",
            ));
        }
        remove(&self.build)?;
        copy(&self.previous, &self.build)
    }

    /// The build was applied: it is the deployed one now, and the one before is kept.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        if self.deployed.is_dir() {
            if same(&self.build, &self.deployed)? {
                return Ok(());
            }
            remove(&self.previous)?;
            rename(&self.deployed, &self.previous)?;
        }
        copy(&self.build, &self.deployed)
    }

    /// The build before was applied again: going back once more goes forward.
    pub(super) fn swap(&self) -> Result<(), Failure> {
        let aside = self.deployed.with_extension("aside");
        remove(&aside)?;
        rename(&self.deployed, &aside)?;
        rename(&self.previous, &self.deployed)?;
        rename(&aside, &self.previous)
    }
}

/// A path from a folder, where Terraform begins to look: the same on every machine whose working tree is laid
/// out alike, so that a plan of one shows no differences to what another deployed.
pub(super) fn from(folder: &Path, path: &Path) -> PathBuf {
    let (folder, path) = (real(folder), real(path));
    let shared = folder.components().zip(path.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| std::path::Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

/// A path without links, which need not be there yet: `..` of a link leads to where the link points.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.canonicalize().unwrap_or_else(|_| match (whole.parent(), whole.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => whole.clone(),
    })
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|error| Failure::file("rename", from, &error))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::file("remove", folder, &error))
        }
        _ => Ok(()),
    }
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut found, mut left) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(place) = left.pop() {
        let failed = |error: std::io::Error| Failure::file("read", &place, &error);
        for entry in fs::read_dir(&place).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                left.push(path);
            } else if let Ok(path) = path.strip_prefix(folder) {
                found.push(path.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn same(one: &Path, other: &Path) -> Result<bool, Failure> {
    let names = files(one)?;
    if names != files(other)? {
        return Ok(false);
    }
    for name in names {
        let read = |folder: &Path| {
            let path = folder.join(&name);
            fs::read(&path).map_err(|error| Failure::file("read", &path, &error))
        };
        if read(one)? != read(other)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    remove(to)?;
    fs::create_dir_all(to).map_err(|error| Failure::file("create", to, &error))?;
    for name in files(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(|error| Failure::file("create", parent, &error))?;
        fs::copy(&source, &target).map_err(|error| Failure::file("copy", &source, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(folders: &Folders, text: &str) {
        folders.clear_build().unwrap();
        fs::create_dir_all(folders.build.join("shop")).unwrap();
        fs::write(folders.build.join("shop/manifest.json"), text).unwrap();
    }

    fn manifest(folder: &Path) -> String {
        fs::read_to_string(folder.join("shop/manifest.json")).unwrap()
    }

    #[test]
    fn going_back_deploys_the_build_before_and_going_back_again_the_last() {
        let temp = tempfile::tempdir().unwrap();
        let folders = Folders::new(temp.path(), "dev");
        build(&folders, "1");
        folders.keep().unwrap();
        assert!(folders.restore_previous().unwrap_err().message.contains("no earlier build"));
        build(&folders, "2");
        folders.keep().unwrap();
        // A dry run in between leaves what was deployed alone; the same again is nothing new.
        build(&folders, "3");
        build(&folders, "2");
        folders.keep().unwrap();

        folders.restore_previous().unwrap();
        assert_eq!(manifest(&folders.build), "1");
        folders.swap().unwrap();
        assert_eq!((manifest(&folders.deployed), manifest(&folders.previous)), ("1".into(), "2".into()));
        folders.restore_previous().unwrap();
        assert_eq!(manifest(&folders.build), "2");
    }

    #[test]
    fn a_path_begins_where_terraform_does() {
        let from = |folder: &str, path: &str| super::from(Path::new(folder), Path::new(path));
        let build = "/no/shop/.cauce/build/dev";
        assert_eq!(from("/no/shop/terraform/dev", build), Path::new("../../.cauce/build/dev"));
        assert_eq!(from("/other", build), Path::new("../no/shop/.cauce/build/dev"));
        assert_eq!(from("/no/shop", build), Path::new(".cauce/build/dev"));
    }

    #[test]
    fn a_pipeline_that_is_gone_is_a_difference() {
        let temp = tempfile::tempdir().unwrap();
        let folders = Folders::new(temp.path(), "dev");
        build(&folders, "1");
        fs::create_dir_all(folders.build.join("other")).unwrap();
        fs::write(folders.build.join("other/plan.json"), "{}").unwrap();
        folders.keep().unwrap();
        build(&folders, "1");
        assert!(!same(&folders.build, &folders.deployed).unwrap());
        folders.keep().unwrap();
        assert!(folders.previous.join("other/plan.json").is_file());
        assert!(!folders.deployed.join("other").exists());
    }
}
