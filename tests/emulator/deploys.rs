//! Deployments: two at once, one that is too large, another environment; and what they grant.

use crate::Scenario;
use crate::api::{ACCOUNT, until};
use crate::cloud::{STATES, copy, state_key, text};
use crate::deployed::{Deployed, LANDING, REPORTING, VAST_TASKS};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("more tasks than a machine holds run in several", vast),
    ("what no machine can hold is refused before anything is asked", too_large),
    ("a task under a role that somebody else made", borrowed),
    ("the plan of production is its own", production),
    ("two deployments at once change nothing in runs under way", two_at_once),
];

fn vast(deployed: &Deployed) {
    let manifest = deployed.project().join(".cauce/build/dev/vast/manifest.json");
    let manifest: Json = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let machines = manifest["machines"].as_array().unwrap();
    assert!(machines.len() > 1, "{manifest}");
    let parts: Vec<&str> = machines
        .iter()
        .filter(|machine| machine["part"].is_string())
        .filter_map(|machine| machine["name"].as_str())
        .collect();
    let name = deployed.fresh("whole");
    let before: Vec<usize> = parts.iter().map(|part| deployed.executions(part).len()).collect();
    deployed.start("vast", &name, &json!({}));
    let run = deployed.run_ended(&format!("vast/{name}"));
    assert_eq!(run["status"], "success");
    let tasks = run["tasks"].as_object().unwrap();
    assert_eq!(tasks.len(), VAST_TASKS);
    assert!(tasks.values().all(|task| task["status"] == "success"));
    assert_eq!(deployed.ended("vast", &name), "SUCCEEDED");
    for (part, before) in parts.iter().zip(before) {
        assert_eq!(deployed.executions(part).len() - before, 1, "{part}");
    }
}

fn too_large(deployed: &Deployed) {
    let folder = deployed.cloud().path("too-large");
    copy(deployed.project(), &folder);
    let wide = "pipeline: wide\ntasks:\n  list: {pass: {output: {parts: [1]}}, returns: {parts: list}}\n  each:\n    \
                needs: [list]\n    map: {over: \"{{ outputs.list.parts }}\", max_items: 50000}\n    \
                container: {image: worker, command: [\"true\"]}\n";
    fs::write(folder.join("wide.yaml"), wide).unwrap();
    let out = folder.join("out");
    let build = deployed.cloud().cauce_here(&folder, &["build", ".", "--out", out.to_str().unwrap()]);
    let said = text(&build.stderr);
    assert_eq!(build.status.code(), Some(2), "{said}");
    assert!(said.contains("wide.yaml:4") && said.contains("max_items"), "{said}");
    assert!(!out.exists(), "nothing is written when one of them does not fit");
    let (code, said) = deployed.deploy(&folder, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("$ "), "Terraform was started:\n{said}");
}

fn borrowed(deployed: &Deployed) {
    let name = deployed.fresh("once");
    deployed.start("borrowed", &name, &json!({}));
    let run = deployed.run_ended(&format!("borrowed/{name}"));
    assert_eq!(run["tasks"]["work"]["output"], json!({"ran": true}), "{run}");
    let role = format!("arn:aws:iam::{ACCOUNT}:role/{REPORTING}");
    let calls = deployed.cloud().lines("calls.jsonl");
    let wrote = |call: &Json| call["principal"] == role.as_str() && call["action"] == "s3:PutObject";
    assert!(calls.iter().any(wrote), "nobody wrote as {role}");
    // Naming a role is not enough to have it.
    let (code, said) =
        deployed.cloud().terraform(deployed.terraform(), &["plan", "-input=false", "-var=task_roles=[]"]);
    assert_eq!(code, 1, "{said}");
    let said = said.split(['\n', '│', ' ']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    assert!(said.contains(&format!("borrowed has tasks with the role {role}")), "{said}");
}

fn production(deployed: &Deployed) {
    let cloud = deployed.cloud();
    let variables = json!({
        "project": "ventas",
        "buckets": {"landing": {"name": "ecommerce-landing-prod"}, "lake": {"name": "ecommerce-lake-prod"}},
        "values": {"alarms": "arn:aws:sns:us-east-1:000000000000:ventas-prod-alarms", "reporting": format!("arn:aws:iam::{ACCOUNT}:role/{REPORTING}")},
        "alarm_mails": ["data@example.com"],
        "mail_identities": ["cauce@example.com"],
        "task_roles": [{"arn": format!("arn:aws:iam::{ACCOUNT}:role/{REPORTING}")}],
    });
    // Beside that of dev, so that it finds the same build.
    let folder = cloud.environment(cloud.folder(), "prod", &variables);
    let (code, said) = cloud.terraform(&folder, &["init", "-input=false"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = cloud.terraform(&folder, &["plan", "-input=false", "-out=next.tfplan"]);
    assert_eq!(code, 0, "{said}");
    let (code, plan) = cloud.terraform(&folder, &["show", "-json", "next.tfplan"]);
    assert_eq!(code, 0, "{plan}");
    let plan: Json = serde_json::from_str(&plan).unwrap();
    let changes = plan["resource_changes"].as_array().unwrap();
    assert!(changes.len() > 100, "{} resources", changes.len());
    for change in changes {
        assert_eq!(
            change["change"]["actions"],
            if change["mode"] == "data" { json!(["read"]) } else { json!(["create"]) }
        );
        let planned = change["change"]["after"].to_string();
        assert!(!planned.contains("ventas-dev") && !planned.contains(&format!("{LANDING}\"")), "{change}");
    }
}

/// Adds a task to a pipeline of a working tree.
fn add_task(project: &Path, task: &str) {
    let file = project.join("slow.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("  clean:", &format!("  {task}: {{needs: [prepare], pass: {{}}}}\n  clean:")),
    )
    .unwrap();
}

/// Starts a run of `slow`; its record once its program runs.
fn started(deployed: &Deployed, name: &str) -> Json {
    let name = deployed.fresh(name);
    deployed.start("slow", &name, &json!({}));
    until(deployed.api(), "the program of slow", || {
        let run = deployed.show(&format!("slow/{name}"))?;
        (run["tasks"]["work"]["status"] == "running").then_some(run)
    })
}

/// Ends such a run; its record, and which of these tasks it has.
fn ended<'a>(deployed: &Deployed, name: &str, tasks: &'a [String]) -> (Json, Vec<&'a String>) {
    let name = &deployed.fresh(name);
    let children = deployed.children("slow", name);
    let child = children.into_iter().find(|child| child.contains("-work-")).unwrap();
    deployed.stop("task-container", &child);
    let run = deployed.run_ended(&format!("slow/{name}"));
    assert_eq!(run["tasks"]["clean"]["status"], "success", "{run}");
    let had = tasks.iter().filter(|task| run["tasks"].get(task.as_str()).is_some()).collect::<Vec<_>>();
    assert!(had.iter().all(|task| run["tasks"][task.as_str()]["status"] == "success"), "{run}");
    (run, had)
}

fn two_at_once(deployed: &Deployed) {
    let (cloud, api) = (deployed.cloud(), deployed.api());
    let first = started(deployed, "of-before");

    // Ours, and that of a colleague who has another change, in a working tree of theirs.
    let theirs = cloud.path("colleague");
    copy(deployed.project(), &theirs.join("project"));
    copy(&cloud.path("terraform"), &theirs.join("terraform"));
    copy(&cloud.path("functions"), &theirs.join("functions"));
    let added = ["added_here", "added_there"].map(|task| deployed.fresh(task).replace('-', "_"));
    add_task(deployed.project(), &added[0]);
    add_task(&theirs.join("project"), &added[1]);
    let (here, there) = std::thread::scope(|scope| {
        let there = scope.spawn(|| deployed.deploy(&theirs.join("project"), &["--lock-timeout", "5m"]));
        let here = deployed.deploy(deployed.project(), &["--lock-timeout", "5m"]);
        (here, there.join().unwrap())
    });
    // Each waits for the other's lock; a plan from before the other's apply is not applied.
    let went_well = |(code, _): &&(Option<i32>, String)| *code == Some(0);
    let refused: Vec<&String> =
        [&here, &there].into_iter().filter(|one| !went_well(one)).map(|(_, said)| said).collect();
    assert!(refused.len() < 2, "nobody deployed:\n{}\n{}", here.1, there.1);
    for said in refused {
        assert!(said.contains("somebody else deployed after this plan was made"), "{said}");
    }
    let second = started(deployed, "of-between");
    assert_ne!(second["version"], first["version"]);

    // A deployment that was killed has left its lock.
    let lock = format!("{}.tflock", state_key("dev"));
    let id = "6a1c1d5e-0000-4000-8000-000000000001";
    let left = json!({"ID": id, "Operation": "OperationTypeApply", "Info": "", "Who": "ana@laptop", "Version": "1.11.0",
                      "Created": "2026-01-05T10:00:00Z", "Path": format!("{STATES}/{}", state_key("dev"))});
    api.put_object(STATES, &lock, left.to_string().as_bytes());
    let serial = cloud.state(deployed.terraform())["serial"].clone();
    add_task(deployed.project(), &added[1]);
    let (code, said) = deployed.deploy(deployed.project(), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("another deployment is under way: the state is locked by ana@laptop since 2026-01-05"),
        "{said}"
    );
    assert!(said.contains(&format!("force-unlock {id}")), "{said}");
    assert_eq!(cloud.state(deployed.terraform())["serial"], serial);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| deployed.deploy(deployed.project(), &["--lock-timeout", "5m"]));
        let refused = |call: &Json| {
            let resource = call["resource"].as_str().unwrap_or_default();
            resource.ends_with(&lock) && call["action"] == "s3:PutObject" && call["status"] == 412
        };
        let before = cloud.lines("calls.jsonl").iter().filter(|call| refused(call)).count();
        until(api, "the deployment that waits for the lock", || {
            (cloud.lines("calls.jsonl").iter().filter(|call| refused(call)).count() > before).then_some(())
        });
        let (code, said) = cloud.terraform(deployed.terraform(), &["force-unlock", "-force", id]);
        assert_eq!(code, 0, "{said}");
        let (code, said) = waiting.join().unwrap();
        assert_eq!(code, Some(0), "{said}");
    });
    let third = started(deployed, "of-after");
    assert!(![&first["version"], &second["version"]].contains(&&third["version"]));

    // All end properly, each by the version that it began with.
    for (name, version, tasks) in
        [("of-before", first, 0), ("of-between", second, 1), ("of-after", third, added.len())]
    {
        let (run, had) = ended(deployed, name, &added);
        assert_eq!((&run["version"], had.len()), (&version["version"], tasks), "{name}: {run}");
    }
    let plan = ["plan", "-input=false", "-detailed-exitcode"];
    let (code, said) = cloud.terraform(deployed.terraform(), &plan);
    assert_eq!(code, 0, "{said}");
}
