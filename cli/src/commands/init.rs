//! `cauce init`: a project that passes its checks and runs at once, with nothing installed.

use std::fs;

use cauce_model::ids::is_name;

use crate::args::InitArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::project::PROJECT_FILE;

/// What a project's files call it, until `cauce init` knows its name.
const PROJECT: &str = "{{project}}";

/// The name of a project whose folder's name is no name.
const PROJECT_DEFAULT: &str = "hello";

/// The pipeline's file.
const PIPELINE_FILE: &str = "pipelines/hello.yaml";

/// Where the modules of Terraform come from.
const SOURCE: &str = "{{source}}";

/// What stands there until somebody says: Terraform refuses it by name, and `--source` replaces it.
const SOURCE_EXAMPLE: &str = "https://git.example.com/data/cauce.git";

/// The repository of the releases, as `owner/name`.
const REPOSITORY: &str = "{{repository}}";

/// The project's name as AWS takes it.
const DASHED: &str = "{{name}}";

/// Their version.
const REF: &str = "{{ref}}";

/// The files, with what is written into them.
const FILES: [(&str, &str); 10] = [
    (PROJECT_FILE, include_str!("../../templates/cauce.yaml")),
    (PIPELINE_FILE, include_str!("../../templates/pipelines/hello.yaml")),
    ("README.md", include_str!("../../templates/README.md")),
    ("terraform/main.tf", include_str!("../../templates/terraform/main.tf")),
    ("terraform/variables.tf", include_str!("../../templates/terraform/variables.tf")),
    ("terraform/versions.tf", include_str!("../../templates/terraform/versions.tf")),
    ("terraform/dev.tfvars", include_str!("../../templates/terraform/dev.tfvars")),
    ("terraform/prod.tfvars", include_str!("../../templates/terraform/prod.tfvars")),
    ("terraform/dev.tfbackend", include_str!("../../templates/terraform/dev.tfbackend")),
    ("terraform/prod.tfbackend", include_str!("../../templates/terraform/prod.tfbackend")),
];

/// The workflows of GitHub and what they use, for those who have a repository there.
const WORKFLOWS: [(&str, &str); 6] = [
    (".github/workflows/ci.yml", include_str!("../../templates/github/ci.yml")),
    (".github/workflows/deploy.yml", include_str!("../../templates/github/deploy.yml")),
    (".github/workflows/apply.yml", include_str!("../../templates/github/apply.yml")),
    (".github/workflows/rollback.yml", include_str!("../../templates/github/rollback.yml")),
    (".github/actions/cauce/action.yml", include_str!("../../templates/github/cauce.action.yml")),
    (".github/forecast.py", include_str!("../../templates/github/forecast.py")),
];

/// A file that is left alone when there is one.
const IGNORE: (&str, &str) = (".gitignore", include_str!("../../templates/gitignore"));

pub(crate) fn init(args: &InitArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = context.absolute(&args.dir);
    for (name, _) in FILES.into_iter().chain(WORKFLOWS) {
        let path = folder.join(name);
        if path.exists() {
            return Err(Failure::bad_input(format!("{} exists already", args.dir.join(name).display()))
                .help("nothing was written; name another folder"));
        }
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase().replace('-', "_"));
    let name = name.filter(|name| is_name(name)).unwrap_or_else(|| PROJECT_DEFAULT.to_owned());
    let keep = folder.join(IGNORE.0).exists();
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    let source = args.source.as_deref().unwrap_or(SOURCE_EXAMPLE);
    // owner/name of a repository whose releases the workflows download.
    let repository = source.trim_end_matches(".git").rsplit("://").next().unwrap_or(source);
    let repository = repository.split_once('/').map_or(repository, |(_, path)| path);
    // Names on AWS have hyphens where ours may have underscores.
    let dashed = name.replace('_', "-");
    let fill = |text: &str| {
        let text = text.replace(PROJECT, &name).replace(DASHED, &dashed);
        text.replace(SOURCE, source).replace(REF, &version).replace(REPOSITORY, repository)
    };
    let mut written: Vec<&str> = Vec::new();
    for (file, text) in FILES.into_iter().chain(WORKFLOWS).chain((!keep).then_some(IGNORE)) {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).map_err(|error| Failure::file("create", parent, &error))?;
        fs::write(&path, fill(text)).map_err(|error| Failure::file("write", &path, &error))?;
        written.push(file);
    }
    if context.json {
        context.output.json(&serde_json::json!({"folder": args.dir, "files": written}))?;
    } else {
        let file = args.dir.join(PIPELINE_FILE);
        context.output.talk(&format!("made {} with {}", args.dir.display(), written.join(", ")));
        if args.source.is_none() {
            context.output.talk(&format!(
                "terraform/main.tf takes its modules from {SOURCE_EXAMPLE}, an example: correct it before \
                 'cauce deploy' (--source writes it)"
            ));
        }
        context.output.talk(&format!("next: cauce run {}", file.display()));
    }
    Ok(Exit::Good)
}
