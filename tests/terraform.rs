//! terraform/: formatted, valid in every module and environment, and within its own rules.
//!
//! Formatting and validity are Terraform's own word; where it or the AWS provider is missing, the test
//! says so. The rules are read from the text and need neither.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

use serde_json::{Value as Json, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a test finds the programs of its machine")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folders below `modules` or `environments`.
fn folders(root: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(kind)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    assert!(found.len() >= 2, "only {} folders were found in {kind}", found.len());
    found
}

/// Says what a test does without, also when the test passes and its output is kept back.
fn skipped(needs: &str) {
    let mut past_capture = std::io::stderr().lock();
    writeln!(past_capture, "skipped: needs {needs}").unwrap();
}

fn terraform() -> Option<Command> {
    let path = variable("PATH")?;
    let program =
        std::env::split_paths(&path).map(|folder| folder.join("terraform")).find(|file| file.is_file());
    if program.is_none() {
        skipped("terraform");
    }
    let mut command = Command::new(program?);
    command.env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1").env_remove("TF_DATA_DIR");
    Some(command)
}

/// How Terraform is to find its provider: a configuration of the user's, or a mirror on this machine.
/// The text of a configuration, empty for Terraform's own way with an implied mirror.
fn provider_configuration() -> Option<String> {
    if let Some(file) = variable("TF_CLI_CONFIG_FILE").filter(|file| file.is_file()) {
        return Some(fs::read_to_string(file).unwrap());
    }
    let found = Command::new(repository().join("infra/tools/terraform-plugins.sh")).output().ok()?;
    let folder = String::from_utf8(found.stdout).ok()?;
    let folder = Some(folder.trim()).filter(|folder| !folder.is_empty())?;
    Some(format!("provider_installation {{\n  filesystem_mirror {{\n    path = {folder:?}\n  }}\n}}\n"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if !entry.file_type().unwrap().is_dir() {
            fs::copy(entry.path(), target).unwrap();
        } else if entry.file_name() != ".terraform" {
            copy(&entry.path(), &target);
        }
    }
}

#[test]
fn terraform_is_formatted() {
    let Some(mut terraform) = terraform() else { return };
    terraform.args(["fmt", "-check", "-recursive", "-diff", "-no-color"]);
    let output = terraform.arg(repository().join("terraform")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "run 'terraform fmt -recursive terraform':\n{said}");
}

#[test]
fn every_environment_is_valid_and_every_module_with_it() {
    if terraform().is_none() {
        return;
    }
    let Some(configuration) = provider_configuration() else {
        skipped("the AWS provider for terraform (a mirror, named by CAUCE_TF_PLUGINS)");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("terraform");
    copy(&repository().join("terraform"), &root);
    let rc = temporary.path().join("terraform.rc");
    fs::write(&rc, configuration).unwrap();
    for folder in folders(&root, "environments") {
        let run = |args: &[&str]| {
            let mut terraform = terraform().unwrap();
            terraform.args(args).arg("-no-color").current_dir(&folder).env("TF_CLI_CONFIG_FILE", &rc);
            let output = terraform.output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(output.status.success(), "terraform {args:?} in {}:\n{said}", folder.display());
        };
        // The lock is committed: a provider that it does not know is refused.
        run(&["init", "-backend=false", "-input=false", "-lockfile=readonly"]);
        run(&["validate"]);
    }
}

/// What the module `fill` makes of a text: its outputs `texts` and `problem`. It needs no provider.
fn filled(project: &Json, values: &Json, text: &str) -> Option<(String, Json)> {
    terraform()?;
    let folder = tempfile::tempdir().unwrap();
    copy(&repository().join("terraform/modules/fill"), &folder.path().join("fill"));
    fs::write(folder.path().join("project.json"), project.to_string()).unwrap();
    let root = json!({
        "module": {"fill": {
            "source": "./fill",
            "build_dir": ".",
            "environment": "dev",
            "values": "${var.values}",
            "texts": {"one": "${var.text}"},
        }},
        "variable": {"values": {"type": "any"}, "text": {"type": "string"}},
        "output": {"texts": {"value": "${module.fill.texts}"}, "problem": {"value": "${module.fill.problem}"}},
    });
    fs::write(folder.path().join("main.tf.json"), root.to_string()).unwrap();
    fs::write(
        folder.path().join("given.auto.tfvars.json"),
        json!({"values": values, "text": text}).to_string(),
    )
    .unwrap();
    let run = |args: &[&str]| {
        let output = terraform().unwrap().args(args).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "terraform {args:?}: {said}");
        output.stdout
    };
    run(&["init", "-input=false"]);
    run(&["apply", "-input=false", "-auto-approve"]);
    let outputs: Json = serde_json::from_slice(&run(&["output", "-json"])).unwrap();
    Some((outputs["texts"]["value"]["one"].as_str().unwrap().to_owned(), outputs["problem"]["value"].clone()))
}

#[test]
fn values_of_the_environment_are_filled_into_texts() {
    let project = json!({"environments": {"dev": {"values": {"lake": "of-the-file", "port": 8080, "team": "a \"b\" \\ <c>"}},
                                          "prod": {"values": {"other": "of-prod"}}}});
    let values = json!({"lake": "given", "more": ["x"]});
    let channels = json!({"hook": {"http": {"url": "https://${{ env.lake }}:${{env.port}}/${{ env.team }}"}},
                          "plain": {"sns": {"topic": "${begin_task} {{ ds }} $${env.lake}"}}, "list": "${{ env.more }}"});
    let Some((text, problem)) = filled(&project, &values, &channels.to_string()) else { return };
    let read: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(read["hook"]["http"]["url"], "https://given:8080/a \"b\" \\ <c>");
    assert_eq!(read["plain"]["sns"]["topic"], "${begin_task} {{ ds }} $given");
    assert_eq!(read["list"], "[\"x\"]");
    assert_eq!(problem, Json::Null);
    // What has no value is named, whatever another environment has.
    let text = r#"["${{ env.other }}", "${{ env.lake }}", "${{ env.nothing }}"]"#;
    let (_, problem) = filled(&project, &values, text).unwrap();
    let problem = problem.as_str().unwrap();
    assert!(problem.contains("dev has no value for env.nothing, env.other."), "{problem}");
}

/// The blocks of a kind in a folder: header and body. Blocks begin and end at the margin, which
/// `terraform fmt` sees to.
fn blocks(folder: &Path, kind: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "tf") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("\n}\n") {
            let Some(start) = block.lines().position(|line| line.starts_with(&format!("{kind} \""))) else {
                continue;
            };
            let mut lines = block.lines().skip(start);
            found.push((lines.next().unwrap().to_owned(), lines.collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

#[test]
fn inputs_are_described_and_typed() {
    let mut inputs = 0;
    let root = repository().join("terraform");
    for folder in [folders(&root, "modules"), folders(&root, "environments")].concat() {
        for (header, body) in blocks(&folder, "variable") {
            inputs += 1;
            for needed in ["\n  description = \"", "\n  type "] {
                let body = format!("\n{body}")
                    .replace("  description  ", "  description ")
                    .replace("  type  ", "  type ");
                assert!(body.contains(needed), "{}: {header} has no{}", folder.display(), needed.trim_end());
            }
        }
        for (header, body) in blocks(&folder, "output") {
            assert!(body.contains("description"), "{}: {header} has no description", folder.display());
        }
    }
    assert!(inputs >= 60, "only {inputs} inputs were found");
}

#[test]
fn environments_only_call_modules_and_call_every_one() {
    let root = repository().join("terraform");
    let mut called = String::new();
    for folder in folders(&root, "environments") {
        assert!(blocks(&folder, "resource").is_empty(), "{} has a resource of its own", folder.display());
        called.extend(blocks(&folder, "module").into_iter().map(|(_, body)| body));
    }
    for folder in folders(&root, "modules") {
        called.extend(blocks(&folder, "module").into_iter().map(|(_, body)| body));
    }
    for module in folders(&root, "modules") {
        let name = module.file_name().unwrap().display();
        let sources = [format!("\"../../modules/{name}\""), format!("\"../{name}\"")];
        assert!(
            sources.iter().any(|source| called.contains(source)),
            "nobody calls {name}: it would not be validated"
        );
    }
}
