//! What people do to a deployment: they deploy again, roll back, list it, and ask whether it is well.

use crate::Scenario;
use crate::commands::cauce;
use crate::deployed::{Deployed, LANDING};
use serde_json::{Value as Json, json};
use std::fs;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a second deployment changes nothing", again),
    ("list shows what is deployed, and how the files stand to it", list),
    ("after a rollback runs take the version before", rollback),
    ("a canary takes its share of the new runs, and is promoted or aborted", canary),
    ("doctor says what is well and what is broken, and deploying mends it", doctor),
];

fn deployments(deployed: &Deployed) -> usize {
    let audit = cauce(deployed, "audit --limit 1000 --json").exits(0).json();
    audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "deploy").count()
}

fn again(deployed: &Deployed) {
    let before = deployments(deployed);
    let said = deployed.deploy_all(&[]);
    assert!(said.contains("the image 'worker' is there already"), "{said}");
    assert!(said.contains("nothing to apply: what is deployed is as the files say"), "{said}");
    assert_eq!(deployments(deployed), before);
}

/// What `cauce list` tells of a pipeline.
fn listed(deployed: &Deployed, pipeline: &str) -> Json {
    let told = cauce(deployed, "list --json").exits(0).json();
    let all = told["pipelines"].as_array().unwrap();
    all.iter().find(|one| one["pipeline"] == pipeline).unwrap_or_else(|| panic!("{told}")).clone()
}

fn list(deployed: &Deployed) {
    let here = |pipeline: &str| listed(deployed, pipeline)["here"].as_str().unwrap().to_owned();
    let ticking = listed(deployed, "ticking");
    assert_eq!((&ticking["here"], &ticking["paused"]), (&json!("as deployed"), &json!(false)));
    // 05:30 in New York.
    let tick = ticking["next_tick"].as_str().unwrap();
    assert!(tick.ends_with("T10:30:00.000000Z") || tick.ends_with("T09:30:00.000000Z"), "{tick}");

    let file = |name: &str| deployed.project().join(name);
    let (changed, gone, new) = (file("many.yaml"), file("nested.yaml"), file("fresh.yaml"));
    let (before, nested) = (fs::read_to_string(&changed).unwrap(), fs::read_to_string(&gone).unwrap());
    fs::write(&changed, format!("{before}  third: {{needs: [second], pass: {{}}}}\n")).unwrap();
    fs::remove_file(&gone).unwrap();
    fs::write(&new, "pipeline: fresh\ntasks: {one: {pass: {}}}\n").unwrap();
    let told = ["many", "nested", "fresh"].map(here);
    let tasks = listed(deployed, "many")["tasks"].clone();
    let table = cauce(deployed, "list").exits(0);
    fs::write(&changed, before).unwrap();
    fs::write(&gone, nested).unwrap();
    fs::remove_file(&new).unwrap();
    assert_eq!(told, ["differs", "no file here", "not deployed"]);
    assert_eq!(tasks, 2, "the tasks of what is deployed");
    table
        .shows("many.yaml (differs)")
        .shows("not deployed to 'dev'")
        .says("2 pipelines here are not as deployed");
    assert_eq!(here("many"), "as deployed");
}

fn rollback(deployed: &Deployed) {
    let version = |run: &str| {
        deployed.start("platform", run, &json!({}));
        deployed.run_ended(&format!("platform/{run}"))["version"].clone()
    };
    let file = deployed.project().join("platform.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let first = version("before-a-change");
    fs::write(&file, format!("{before}  more: {{needs: [work], pass: {{}}}}\n")).unwrap();
    deployed.deploy_all(&[]);
    let second = version("after-a-change");
    assert_ne!(first, second);

    let said = deployed.deploy_all(&["--rollback"]);
    assert!(said.contains("the build before the last"), "{said}");
    assert_eq!(version("rolled-back"), first);
    assert_eq!(listed(deployed, "platform")["here"], "differs");

    // By hand, from the folder that was kept: that of the build which was rolled back.
    deployed.apply_folder(&deployed.project().join(".cauce/build/dev.previous"));
    assert_eq!(version("by-hand"), second);
    // A run goes on with the version that it began with, and can be moved.
    cauce(deployed, "rerun platform/rolled-back --task work --wait").exits(0);
    assert_eq!(deployed.run_ended("platform/rolled-back")["version"], first);
    cauce(deployed, "rerun platform/rolled-back --task work --latest-version --wait").exits(0);
    assert_eq!(deployed.run_ended("platform/rolled-back")["version"], second);

    fs::write(&file, before).unwrap();
    deployed.deploy_all(&[]);
    assert_eq!(listed(deployed, "platform")["here"], "as deployed");
}

fn canary(deployed: &Deployed) {
    let version = |options: &str| {
        let told = cauce(deployed, &format!("trigger platform --json{options}")).exits(0).json();
        let run_id = told["runs"][0]["run_id"].as_str().unwrap();
        deployed.run_ended(&format!("platform/{run_id}"))["version"].clone()
    };
    let say = |step: &str| cauce(deployed, &format!("canary platform {step}")).exits(0);
    let file = deployed.project().join("platform.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let stable = version("");
    // Along with it a pipeline that is new, where new ones are held back.
    let (settings, new) = (deployed.project().join("cauce.yaml"), deployed.project().join("fresh.yaml"));
    let active = fs::read_to_string(&settings).unwrap();
    let held = active.replacen("  dev:\n", "  dev:\n    new_pipelines: paused\n", 1);
    assert_ne!(held, active);
    fs::write(&settings, held).unwrap();
    fs::write(&new, "pipeline: fresh\nschedule: '@daily'\ntasks: {one: {pass: {}}}\n").unwrap();
    fs::write(&file, format!("{before}  more: {{needs: [work], pass: {{}}}}\n")).unwrap();
    deployed.deploy_all(&["--canary", "0"]);
    let told = listed(deployed, "platform");
    let trial = told["canary"]["version"].clone();
    assert_eq!((&told["here"], &told["version"]), (&json!("as the canary"), &stable));
    assert_eq!(told["canary"]["percent"], 0);
    assert_eq!(told["paused"], false, "it is not new");
    let fresh = listed(deployed, "fresh");
    assert_eq!((&fresh["paused"], &fresh["canary"]), (&json!(true), &Json::Null));
    cauce(deployed, "unpause fresh").exits(0);
    assert_eq!(listed(deployed, "fresh")["paused"], false);
    cauce(deployed, "list").exits(0).shows(", 0 % ");
    assert_eq!((version(""), version(" --canary")), (stable.clone(), trial.clone()));

    say("99").says("99 % take its canary");
    let taken = (0..5).filter(|_| version("") == trial).count();
    assert!(taken > 0, "none of 5 at 99 %");
    say("promote");
    assert_eq!(version(""), trial);
    assert_eq!(listed(deployed, "platform")["here"], "as deployed");
    cauce(deployed, "canary platform abort").exits(2).says("platform has no canary in 'dev'");
    cauce(deployed, "trigger platform --canary").exits(2).says("platform has no canary in 'dev'");

    // The way back can be tried as well.
    fs::write(&file, before).unwrap();
    fs::write(&settings, active).unwrap();
    fs::remove_file(&new).unwrap();
    deployed.deploy_all(&["--canary", "50"]);
    assert_eq!(version(" --canary"), stable);
    say("abort").says("its file still says so");
    assert_eq!(version(""), trial);
    deployed.deploy_all(&[]);
    assert_eq!(version(""), stable);
    assert_eq!(listed(deployed, "platform")["canary"], Json::Null);
}

fn doctor(deployed: &Deployed) {
    let look = |code: i32| {
        let told = cauce(deployed, "doctor --json").exits(code).json();
        let checks = told["checks"].as_array().unwrap().clone();
        move |name: &str| {
            let check = checks.iter().find(|check| check["check"] == name);
            check.unwrap_or_else(|| panic!("no check '{name}' in {checks:?}")).clone()
        }
    };
    let well = look(0);
    let ok = [
        "credentials",
        "region",
        "table",
        "documents",
        "functions",
        "functions: build",
        "notices",
        "cluster",
        "pipeline ventas_batch",
        "pipeline ticking",
        "bucket ecommerce-landing",
        "task definitions",
        "images",
        "roles",
        "quota: Fargate",
        "quota: Lambda",
    ];
    for name in ok {
        assert_eq!(well(name)["state"], "ok", "{}", well(name));
    }

    let aws = |words: &str| deployed.cloud().aws(&words.split(' ').collect::<Vec<_>>());
    let prefix = deployed.name("");
    let function = |name: &str| format!("{prefix}{name}");
    aws(&format!("lambda delete-function --function-name {}", function("notify")));
    aws(&format!("iam delete-role-policy --role-name {} --policy-name function", function("sweep")));
    let repository = format!("{}/ventas/cauce-worker", prefix.trim_end_matches('-'));
    aws(&format!("ecr batch-delete-image --repository-name {repository} --image-ids imageTag=0.1"));
    aws(&format!("s3api delete-bucket --bucket {}", emptied(deployed, LANDING)));
    let broken = look(1);
    let says = |check: &str, words: &str| {
        let check = broken(check);
        assert_eq!(check["state"], "fail", "{check}");
        assert!(check["saw"].as_str().unwrap().contains(words), "no '{words}' in {check}");
        assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{check}");
    };
    says("functions", "there is no function notify");
    says("roles", &format!("the role {} of the function sweep has no policy", function("sweep")));
    says("images", "cauce-worker:0.1");
    says(&format!("bucket {LANDING}"), "it is not there");
    assert_eq!(broken("table")["state"], "ok");
    cauce(deployed, "doctor").exits(1).shows("there is no function notify").shows("cauce deploy --env dev");

    // What it says mends it does.
    deployed.deploy_all(&[]);
    let mended = look(0);
    for name in ok {
        assert_eq!(mended(name)["state"], "ok", "{}", mended(name));
    }
}

/// A bucket without the objects that were in it: all versions of them, and what marks them as deleted.
fn emptied<'a>(deployed: &Deployed, bucket: &'a str) -> &'a str {
    let aws = |words: &[&str]| deployed.cloud().aws(words);
    let told = aws(&["s3api", "list-object-versions", "--bucket", bucket]);
    let entries = ["Versions", "DeleteMarkers"].iter().filter_map(|kind| told[kind].as_array()).flatten();
    let names: Vec<Json> =
        entries.map(|entry| json!({"Key": entry["Key"], "VersionId": entry["VersionId"]})).collect();
    if !names.is_empty() {
        let names = json!({"Objects": names, "Quiet": true}).to_string();
        aws(&["s3api", "delete-objects", "--bucket", bucket, "--delete", &names]);
    }
    bucket
}
