//! Commands that act on a deployed environment, as far as no environment is needed to say what is
//! wrong; deployments with programs that stand in for Terraform and the others. What they do on a
//! deployed environment is tested where one is emulated.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Answer, Project};

const FILE: &str = "pipeline: small\ntasks:\n  one: {container: {image: host, command: [\"true\"]}}\n";

const FUNCTIONS: [&str; 10] = [
    "trigger-run",
    "open-run",
    "begin-task",
    "expand-map",
    "finish-task",
    "close-run",
    "record-event",
    "sweep",
    "notify",
    "take-tokens",
];

const PROJECT: &str = "\
project: shop
images:
  host: {ecr: \"loader:1.2\", local: [], build: docker}
environments:
  dev: {account: \"123456789012\", region: eu-west-1, functions: zips}
";

#[test]
fn commands_say_which_environment_is_missing() {
    let project = Project::local();
    project.write("small.yaml", FILE);
    project
        .cauce(&["trigger", "small"])
        .exits(2)
        .says("no 'cauce up' runs")
        .says("cauce run FILE")
        .says("--env");
    project.cauce(&["doctor"]).exits(2).says("none is named");
    project.cauce(&["deploy"]).exits(2).says("this machine");
    for command in [&["runs"][..], &["list"], &["show", "small/@latest"], &["why", "small/@latest"]] {
        let args = [command, &["--env", "prod"]].concat();
        project.cauce(&args).exits(2).says("there is no environment 'prod'");
    }
    assert!(!project.path().join(".cauce").exists());
}

#[test]
fn an_environment_without_a_name_or_a_region_is_told() {
    let project = Project::new();
    project.write("cauce.yaml", "environments:\n  dev: {account: \"123456789012\", region: eu-west-1}\n");
    project.cauce(&["runs", "--env", "dev"]).exits(2).says("names no project").says("project: NAME");
    project.write("cauce.yaml", "project: shop\nenvironments:\n  dev: {account: \"123456789012\"}\n");
    let mut command = project.command(["runs", "--env", "dev"]);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", project.path());
    Answer::of(command.output().unwrap()).exits(2).says("region");
}

#[test]
fn what_only_this_machine_does_says_so() {
    let project = Project::new();
    project.write("cauce.yaml", PROJECT);
    project.cauce(&["resume", "small/1", "--env", "dev"]).exits(2).says("runs of this machine");
    let backfill = ["backfill", "small", "--from", "2026-01-01", "--to", "2026-01-02", "--env", "dev"];
    project.cauce(&[&backfill[..], &["--max-active", "2"]].concat()).exits(2).says("max_active_runs");
}

#[test]
fn a_forecast_needs_no_environment() {
    let project = Project::local();
    project.write("small.yaml", FILE);
    project.cauce(&["run", "small.yaml"]).exits(0);
    let cost = project.cauce(&["cost", "--json"]).exits(0).json();
    let small = &cost["pipelines"][0];
    assert_eq!(small["pipeline"], "small");
    assert!(small["forecast"]["run_usd"].as_f64().unwrap() > 0.0, "{cost}");
    assert_eq!((&small["spent"]["runs"], &small["spent"]["attempts"]), (&1.into(), &1.into()));
    // One attempt, billed a minute of the default size at least.
    assert!(small["spent"]["containers_usd"].as_f64().unwrap() > 0.0001, "{cost}");
    let before = project.cauce(&["cost", "--month", "1997-01", "--json"]).exits(0).json();
    assert_eq!(before["pipelines"][0]["spent"]["runs"], 0);
    project.cauce(&["cost", "small"]).exits(0).shows("small").says("not counted");
}

/// A root module, as far as it is read here.
const ROOT: &str = "variable \"build_dir\" { type = string }\nvariable \"functions_dir\" { type = string }\n";

/// A project with everything that a deployment needs, and stand-ins for the programs that it starts:
/// each writes its arguments down. Terraform's plan has changes; its repositories are known.
fn deployable() -> (Project, PathBuf) {
    let project = Project::new();
    project.write("cauce.yaml", PROJECT);
    project.write("small.yaml", FILE);
    project.write("docker/Dockerfile", "FROM scratch\n");
    project.write("terraform/environments/dev/main.tf", ROOT);
    project.write("terraform/environments/dev/dev.tfvars", "");
    for function in FUNCTIONS {
        project.write(&format!("zips/{function}.zip"), "");
    }
    let said = project.path().join("said.txt");
    let note = format!("echo \"${{0##*/}} $*\" >> {}", said.display());
    let repository = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-dev/shop/loader";
    let outputs = format!(r#"{{"repositories": {{"value": {{"loader": "{repository}"}}}}}}"#);
    let terraform = format!(
        "{note}\ncase \"$*\" in *\" output \"*) echo '{outputs}';; *\" plan \"*) for word; do case \"$word\" in \
         -var=build_dir=*) test -f \"${{1#-chdir=}}/${{word#-var=build_dir=}}/small/plan.json\" && exit 2;; esac; done; exit 1;; esac"
    );
    let aws = format!("{note}\ncase \"$*\" in *password*) echo hush;; *) exit 1;; esac");
    let podman = format!(
        "{note}\ncase \"$*\" in login*) read -r word; echo \"heard $word\" >> {};; esac",
        said.display()
    );
    for (name, script) in [("terraform", terraform), ("aws", aws), ("podman", podman)] {
        let path = project.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    (project, said)
}

fn deploy(project: &Project, args: &[&str]) -> Answer {
    let mut command = project.command([&["deploy", "--env", "dev"], args].concat());
    let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
    Answer::of(command.env("PATH", path).stdin(std::process::Stdio::null()).output().unwrap())
}

#[test]
fn a_deployment_builds_pushes_plans_and_applies() {
    let (project, said) = deployable();
    deploy(&project, &[]).exits(2).says("nobody is there to approve");
    assert!(!said.exists());
    deploy(&project, &["--yes"]).exits(0).says("1 pipeline checked").says(" plan ").says("deployed to 'dev'");
    let steps = fs::read_to_string(&said).unwrap();
    let at = |words: &str| steps.find(words).unwrap_or_else(|| panic!("no '{words}' in\n{steps}"));
    assert!(at("init -input=false") < at("podman build"));
    assert!(
        at("podman build --tag 123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-dev/shop/loader:1.2")
            < at("podman push")
    );
    assert!(at("podman push") < at(" plan ") && at(" plan ") < at(" apply "));
    // What this program says comes last, so that no file of values says otherwise.
    assert!(at("-var-file=dev.tfvars") < at("-var=build_dir="), "{steps}");
    assert!(steps.contains("-var=functions_dir=../../../zips"), "{steps}");
    // The registry's password is read from standard input, and is no argument.
    assert!(steps.contains("heard hush"));
    assert!(!steps.lines().any(|line| line.starts_with("podman") && line.contains("hush")), "{steps}");
    assert!(project.path().join(".cauce/build/dev.deployed/small/manifest.json").is_file());

    // An image that is not built here is somebody's to push: it says whose, and where to.
    project.write("cauce.yaml", PROJECT.replace(", build: docker", ""));
    deploy(&project, &["--yes"])
        .exits(0)
        .says("the image 'host' has no 'build' and is not there")
        .says("before you push 123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-dev/shop/loader:1.2");
    let answer = deploy(&project, &["--yes", "--skip-images"]).exits(0);
    assert!(!answer.talk.contains("has no 'build'"), "{}", answer.talk);
}

#[test]
fn a_dry_run_stops_after_the_plan_and_a_rollback_deploys_the_build_before() {
    let (project, said) = deployable();
    deploy(&project, &["--dry-run"]).exits(0).says("nothing was changed");
    let steps = fs::read_to_string(&said).unwrap();
    assert!(steps.contains(" plan ") && !steps.contains(" apply ") && !steps.contains("podman"), "{steps}");
    deploy(&project, &["--rollback", "--yes"]).exits(2).says("no earlier build");

    deploy(&project, &["--yes", "--skip-images"]).exits(0);
    let build = |folder: &str| {
        fs::read_to_string(project.path().join(".cauce/build").join(folder).join("small/plan.json")).unwrap()
    };
    let first = build("dev");
    project.write("small.yaml", format!("{FILE}  two: {{needs: [one], pass: {{}}}}\n"));
    deploy(&project, &["--yes", "--skip-images"]).exits(0);
    assert_ne!(build("dev"), first);
    deploy(&project, &["--rollback", "--yes"]).exits(0);
    assert_eq!((build("dev"), build("dev.deployed")), (first.clone(), first));
}

#[test]
fn deployments_of_others_are_told_apart() {
    let (project, said) = deployable();
    let program = project.path().join("bin/terraform");
    let script = fs::read_to_string(&program).unwrap();
    let locked =
        "echo 'Error: Error acquiring the state lock' >&2; echo '│   Who:       ana@laptop' >&2; exit 1";
    fs::write(
        &program,
        script.replace("esac", &format!("esac\ncase \"$*\" in *\" apply \"*) {locked};; esac")),
    )
    .unwrap();
    deploy(&project, &["--yes", "--skip-images", "--lock-timeout", "10m"])
        .exits(3)
        .says("Who:       ana@laptop")
        .says("another deployment is under way: the state is locked by ana@laptop")
        .says("--lock-timeout");
    let steps = fs::read_to_string(&said).unwrap();
    assert!(steps.lines().filter(|line| line.contains(" -lock-timeout=10m ")).count() >= 2, "{steps}");
    assert!(!project.path().join(".cauce/build/dev.deployed").exists());
    deploy(&project, &["--yes", "--lock-timeout", "soon"]).exits(2).says("such as 10m");

    // From one working tree the second is not even built.
    fs::remove_file(&said).unwrap();
    let lock = fs::File::create(project.path().join(".cauce/build/dev.lock")).unwrap();
    lock.lock().unwrap();
    deploy(&project, &["--yes"]).exits(3).says("another 'cauce deploy' to 'dev' is under way");
    assert!(!said.exists());
    drop(lock);
    fs::write(&program, script).unwrap();
    deploy(&project, &["--yes", "--skip-images"]).exits(0);
}

#[test]
fn a_deployment_that_is_told_to_end_lets_terraform_give_its_lock_back() {
    use rustix::process::{Pid, Signal, kill_process};
    let (project, _) = deployable();
    let fifo = project.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let program = project.path().join("bin/terraform");
    let script = fs::read_to_string(&program).unwrap();
    // A program that works until it is told, and then takes its leave.
    let works = format!(
        "sleep 600 & trap 'kill $!; echo gave the lock back >&2; exit 1' TERM; echo works > {}; wait",
        fifo.display()
    );
    let works = format!("case \"$*\" in *\" apply \"*) {works};; esac\n");
    fs::write(&program, script + &works).unwrap();
    let mut command = project.command(["deploy", "--env", "dev", "--yes", "--skip-images"]);
    let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
    command.env("PATH", path).stdin(std::process::Stdio::null());
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    assert_eq!(fs::read_to_string(&fifo).unwrap(), "works\n");
    let pid = Pid::from_child(&child);
    // A terminal tells both of an interrupt, anybody else only the one that was started.
    kill_process(pid, Signal::INT).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    Answer::of(child.wait_with_output().unwrap())
        .exits(3)
        .says("gave the lock back")
        .says("terraform failed with exit code 1");
}

#[test]
fn a_deployment_says_what_it_lacks() {
    let (project, said) = deployable();
    fs::remove_file(project.path().join("zips/sweep.zip")).unwrap();
    deploy(&project, &["--dry-run"]).exits(2).says("zips lacks sweep.zip");
    project.write("zips/sweep.zip", "");
    project.write("small.yaml", "pipeline: small\ntasks: {}\n");
    deploy(&project, &["--dry-run"]).exits(2).says("C205");
    project.write("terraform/environments/dev/main.tf", "locals {}\n");
    deploy(&project, &["--dry-run"]).exits(2).says("declares no variable 'build_dir'");
    fs::remove_file(project.path().join("terraform/environments/dev/main.tf")).unwrap();
    deploy(&project, &["--dry-run"]).exits(2).says("holds no Terraform files");
    assert!(!said.exists(), "nothing was started");
    let podman = project.path().join("bin/podman");
    fs::remove_file(podman).unwrap();
    project.write("terraform/environments/dev/main.tf", ROOT);
    project.write("small.yaml", FILE);
    deploy(&project, &["--yes"]).exits(2).says("neither podman nor docker").says("--skip-images");
}
