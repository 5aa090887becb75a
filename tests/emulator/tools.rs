//! What an emulated cloud needs on this machine, and where it is found.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The folder of the programs that were built with this test.
pub(crate) fn programs() -> PathBuf {
    // target/debug/deps/emulator-0123 -> target/debug
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(Path::parent).unwrap().to_owned()
}

/// Everything found.
pub(crate) struct Tools {
    /// Python of the environment that has the emulator.
    pub(crate) python: PathBuf,
    /// The AWS CLI.
    pub(crate) aws: PathBuf,
    /// Terraform.
    pub(crate) terraform: PathBuf,
    /// A folder that holds the AWS provider for Terraform, laid out as a mirror.
    pub(crate) plugins: PathBuf,
}

impl Tools {
    /// Finds everything, or says what is missing.
    pub(crate) fn find() -> Result<Self, &'static str> {
        let venv = |name: &str, program: &str| {
            let path = cache().join("venv").join(name).join("bin").join(program);
            path.is_file().then_some(path)
        };
        let python = venv("ministack", "python").ok_or("ministack (make tools)")?;
        let aws = venv("awscli", "aws").ok_or("the aws command line (make tools)")?;
        let terraform = on_path("terraform").ok_or("terraform")?;
        let plugins = plugins().ok_or("a mirror of the AWS provider for terraform (CAUCE_TF_PLUGINS)")?;
        for function in super::cloud::FUNCTIONS {
            if !programs().join(function).is_file() {
                return Err("the functions' programs (cargo build --workspace)");
            }
        }
        for program in ["cauce", "cauce-worker", "cauce-run", "ventas-drop"] {
            if !programs().join(program).is_file() {
                return Err("the programs cauce, cauce-worker, cauce-run (cargo build --workspace)");
            }
        }
        Ok(Self { python, aws, terraform, plugins })
    }
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("cauce")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A mirror that has `registry.terraform.io/hashicorp/aws`: the one named in the environment, else
/// what the script finds.
fn plugins() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CAUCE_TF_PLUGINS") {
        return Some(PathBuf::from(named));
    }
    let script = repository().join("infra/tools/terraform-plugins.sh");
    let found = Command::new(script).output().ok()?;
    let folder = String::from_utf8(found.stdout).ok()?;
    (!folder.trim().is_empty()).then(|| PathBuf::from(folder.trim()))
}
