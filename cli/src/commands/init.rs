//! `cauce init`: a small project that passes its checks and runs at once, with nothing installed.

use std::fs;

use crate::args::InitArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::project::PROJECT_FILE;

/// The pipeline's file.
const PIPELINE_FILE: &str = "hello.yaml";

const PROJECT: &str = r#"# The project: what its pipelines share. 'cauce schema project' describes every setting.
project: hello
description: A first project.

images:
  # An empty list runs a task's command as it is, as a process of this machine. On AWS the image is what
  # 'ecr' names: {ecr: "hello:1.0", local: []}
  host: {local: []}

environments:
  local:
    values:
      greeting: hello
"#;

const PIPELINE: &str = r#"# A pipeline: tasks, and what each needs. 'cauce schema' describes every setting.
pipeline: hello
description: Greets a few cities, then says goodbye.
schedule: {cron: "0 6 * * *", timezone: UTC}

params:
  shout: {type: boolean, default: false}

defaults:
  timeout: 5m
  retry: {retries: 1, delay: 1s}

tasks:
  # A task that does nothing but return something.
  cities:
    pass:
      output:
        names: [Lima, Quito, Rosario]
    returns: {names: list}

  # One item for every city, each with its own status, attempts and log.
  greet:
    needs: [cities]
    map: {over: "{{ outputs.cities.names }}", max_concurrency: 2}
    container:
      image: host
      command: [printf, "%s, %s! It is %s.\n", "${{ env.greeting }}", "{{ item }}", "{{ ds }}"]

  # A branch names what comes next; the other way is skipped.
  loud:
    needs: [greet]
    branch: [{if: "{{ params.shout }}", to: shout}, {else: whisper}]
  shout:
    needs: [loud]
    container: {image: host, command: [printf, "GOODBYE!\n"]}
  whisper:
    needs: [loud]
    container: {image: host, command: [printf, "goodbye\n"]}

  done:
    needs: [shout, whisper]
    trigger_rule: none_failed_min_one_success
    pass: {}
"#;

const GITIGNORE: &str = ".cauce/\nbuild/\n";

pub(crate) fn init(args: &InitArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = context.absolute(&args.dir);
    let files = [(PROJECT_FILE, PROJECT), (PIPELINE_FILE, PIPELINE)];
    for (name, _) in files {
        let path = folder.join(name);
        if path.exists() {
            return Err(Failure::bad_input(format!("{} exists already", args.dir.join(name).display()))
                .help("nothing was written; name another folder"));
        }
    }
    fs::create_dir_all(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
    let mut written: Vec<&str> = Vec::new();
    let ignore = (".gitignore", GITIGNORE);
    let keep = folder.join(ignore.0).exists();
    for (name, text) in files.into_iter().chain((!keep).then_some(ignore)) {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))?;
        written.push(name);
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
