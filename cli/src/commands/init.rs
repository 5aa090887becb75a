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

/// The files, with what is written into them.
const FILES: [(&str, &str); 3] = [
    (PROJECT_FILE, include_str!("../../templates/cauce.yaml")),
    (PIPELINE_FILE, include_str!("../../templates/pipelines/hello.yaml")),
    ("README.md", include_str!("../../templates/README.md")),
];

/// A file that is left alone when there is one.
const IGNORE: (&str, &str) = (".gitignore", include_str!("../../templates/gitignore"));

pub(crate) fn init(args: &InitArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = context.absolute(&args.dir);
    for (name, _) in FILES {
        let path = folder.join(name);
        if path.exists() {
            return Err(Failure::bad_input(format!("{} exists already", args.dir.join(name).display()))
                .help("nothing was written; name another folder"));
        }
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase().replace('-', "_"));
    let name = name.filter(|name| is_name(name)).unwrap_or_else(|| PROJECT_DEFAULT.to_owned());
    let keep = folder.join(IGNORE.0).exists();
    let mut written: Vec<&str> = Vec::new();
    for (file, text) in FILES.into_iter().chain((!keep).then_some(IGNORE)) {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).map_err(|error| Failure::file("create", parent, &error))?;
        fs::write(&path, text.replace(PROJECT, &name))
            .map_err(|error| Failure::file("write", &path, &error))?;
        written.push(file);
    }
    if context.json {
        context.output.json(&serde_json::json!({"folder": args.dir, "files": written}))?;
    } else {
        let file = args.dir.join(PIPELINE_FILE);
        context.output.talk(&format!("made {} with {}", args.dir.display(), written.join(", ")));
        context.output.talk(&format!("next: cauce run {}", file.display()));
    }
    Ok(Exit::Good)
}
