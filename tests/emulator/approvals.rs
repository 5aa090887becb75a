//! Approvals: a run waits in Step Functions for an answer from the command line.

use crate::Scenario;
use crate::api::until;
use crate::cloud::{must, text};
use crate::deployed::Deployed;
use serde_json::{Value as Json, json};
use std::process::Output;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a yes from the command line lets a run go on", approved),
    ("a no fails the run, and a rerun asks anew", rejected),
    ("nobody answers in time", late),
    ("begin-task killed while it books a question", killed),
    ("an answer whose token could not be told is told by the sweep", untold),
    ("a cancel ends the wait for an answer", cancelled),
    ("an execution stopped while it waits is settled", stopped),
];

fn cauce(deployed: &Deployed, args: &[&str]) -> Output {
    let args: Vec<&str> = args.iter().copied().chain(["--env", "dev"]).collect();
    deployed.cloud().cauce(deployed.project(), &args)
}

fn refused(output: &Output, words: &str) {
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains(words), "{:?} {said}", output.status);
}

/// Waits until a run waits for its answer in this generation; the task.
fn waits(deployed: &Deployed, run: &str, generation: u64) -> Json {
    until(deployed.api(), &format!("question of {run}"), || {
        let shown = deployed.show(run)?;
        let ask = shown["tasks"]["ask"].clone();
        let waits = shown["generation"] == generation && ask["status"] == "running";
        (waits && ask["approval"]["asked_at"].is_string()).then_some(ask)
    })
}

/// Starts a run and waits until it waits for its answer.
fn ask(deployed: &Deployed, name: &str) -> Json {
    deployed.start("asking", name, &json!({}));
    waits(deployed, &format!("asking/{name}"), 1)
}

fn approved(deployed: &Deployed) {
    let letters = deployed.dead_letters().len();
    let asked = ask(deployed, "good");
    assert_eq!(asked["approval"]["message"], "ship 1.2?");
    let why = cauce(deployed, &["why", "asking/good", "ask"]);
    must("cauce why", &why);
    let why = text(&why.stdout);
    assert!(why.contains("cauce approve asking/good ask --env dev") && why.contains("ship 1.2?"), "{why}");
    until(deployed.api(), "the notice that no file can take", || {
        let letters_now = deployed.dead_letters();
        (letters_now.len() > letters && letters_now.iter().any(|reason| reason.contains("archivo")))
            .then_some(())
    });

    let said = cauce(deployed, &["approve", "asking/good", "ask", "--comment", "seen it"]);
    must("cauce approve", &said);
    assert!(text(&said.stderr).contains("asking/good ask is approved by arn:aws:"), "{}", text(&said.stderr));
    let run = deployed.run_ended("asking/good");
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(run["tasks"]["ship"]["output"]["comment"], "seen it");
    let by = run["tasks"]["ask"]["output"]["by"].clone();
    assert_eq!(run["tasks"]["ship"]["output"]["by"], by);

    // Twice is fine, the opposite is not, and the audit knows one answer.
    must("cauce approve, again", &cauce(deployed, &["approve", "asking/good", "ask"]));
    refused(&cauce(deployed, &["reject", "asking/good", "ask"]), "was approved by arn:aws:");
    refused(&cauce(deployed, &["approve", "asking/good", "shp"]), "did you mean 'ship'?");
    refused(&cauce(deployed, &["approve", "asking/good", "ship"]), "is no approval");
    refused(&cauce(deployed, &["approve", "asking/none", "ask"]), "asking/none");
    let audit = cauce(deployed, &["audit", "--json"]);
    must("cauce audit", &audit);
    let audit: Json = serde_json::from_slice(&audit.stdout).unwrap();
    let entries = audit["entries"].as_array().unwrap();
    let of_run = entries.iter().filter(|entry| entry["run"] == "asking/good" && entry["task"] == "ask");
    let told: Vec<&Json> = of_run.collect();
    assert_eq!(told.len(), 1, "{audit}");
    assert_eq!((&told[0]["action"], &told[0]["by"]), (&json!("approve"), &by));

    // The task took four transitions: its state in the pipeline's machine, and these.
    let child = child(deployed, "good");
    assert_eq!(states(deployed, &child), ["Begin", "Ask", "Finish"]);
}

/// The execution of a run's approval in its first generation.
fn child(deployed: &Deployed, name: &str) -> String {
    let beginning = format!("{}-g1-", cauce_model::RunKey::new("asking", name));
    let all = deployed.executions("task-approval").into_iter();
    let mut names = all.filter_map(|execution| execution["name"].as_str().map(str::to_owned));
    names.find(|name| name.starts_with(&beginning)).unwrap()
}

/// The states that an execution entered.
fn states(deployed: &Deployed, name: &str) -> Vec<String> {
    let arn = deployed.machine("task-approval").replace(":stateMachine:", ":execution:");
    let request = json!({"executionArn": format!("{arn}:{name}"), "maxResults": 1000});
    let history = deployed.api().states("GetExecutionHistory", &request);
    let entered = history["events"].as_array().unwrap().iter();
    let entered = entered.filter_map(|event| event["stateEnteredEventDetails"]["name"].as_str());
    entered.map(str::to_owned).collect()
}

fn rejected(deployed: &Deployed) {
    ask(deployed, "bad");
    must("cauce reject", &cauce(deployed, &["reject", "asking/bad", "ask", "--comment", "not on a Friday"]));
    let run = deployed.run_ended("asking/bad");
    assert_eq!(run["status"], "failed", "{run}");
    let task = &run["tasks"]["ask"];
    assert_eq!((&task["status"], &task["attempts"][0]["class"]), (&json!("failed"), &json!("rejected")));
    assert!(run["message"].as_str().unwrap().contains("not on a Friday"), "{run}");
    assert_eq!(run["tasks"]["ship"]["status"], "upstream_failed");
    refused(&cauce(deployed, &["approve", "asking/bad", "ask"]), "was rejected by arn:aws:");

    must("cauce rerun", &cauce(deployed, &["rerun", "asking/bad"]));
    waits(deployed, "asking/bad", 2);
    must("cauce approve", &cauce(deployed, &["approve", "asking/bad", "ask"]));
    let run = until(deployed.api(), "the end of the second generation", || {
        deployed.show("asking/bad").filter(|run| run["generation"] == 2 && run["ended_at"].is_string())
    });
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(run["tasks"]["ask"]["attempts"].as_array().unwrap().len(), 2);
}

fn late(deployed: &Deployed) {
    deployed.start("hasty", "late", &json!({}));
    let run = deployed.run_ended("hasty/late");
    assert_eq!(run["status"], "success", "{run}");
    let status = |task: &str| run["tasks"][task]["status"].as_str().unwrap().to_owned();
    assert_eq!([status("fails"), status("approves"), status("skips")], ["failed", "success", "skipped"]);
    assert_eq!(run["tasks"]["fails"]["attempts"][0]["class"], "timeout");
    assert_eq!(run["tasks"]["after"]["output"], json!({"by": "on_timeout"}));
    refused(&cauce(deployed, &["approve", "hasty/late", "fails"]), "nobody answered in time");
}

fn killed(deployed: &Deployed) {
    // Before and after each of the first calls of the decisions to ask, and to keep the token.
    let mut faults = Vec::new();
    for call in 1..=3 {
        let function = deployed.name("begin-task");
        faults.push(json!({"kind": "kill", "function": function, "before_call": call}));
        faults.push(json!({"kind": "kill", "function": function, "after_call": call}));
    }
    let before = deployed.api().faults_performed();
    deployed.api().faults(json!(faults));
    ask(deployed, "killed");
    until(deployed.api(), "a token in the record", || {
        let child = child(deployed, "killed");
        states(deployed, &child).contains(&"Ask".to_owned()).then_some(())
    });
    must("cauce approve", &cauce(deployed, &["approve", "asking/killed", "ask"]));
    let run = deployed.run_ended("asking/killed");
    assert!(deployed.api().faults_performed() >= before + 4, "too few faults were performed");
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(run["tasks"]["ask"]["attempts"].as_array().unwrap().len(), 1, "{run}");
}

/// Waits until the state that waits has left its token: who answers before finds nobody to tell.
fn left_token(deployed: &Deployed, name: &str) {
    let key = cauce_model::record::task_item(&cauce_model::RunKey::new("asking", name), "ask", None);
    let request = json!({
        "TableName": deployed.name("store"),
        "Key": {"pk": {"S": key.partition}, "sk": {"S": key.sort}},
        "ConsistentRead": true,
    });
    until(deployed.api(), "the token of a question", || {
        let item = deployed.api().call("dynamodb", "DynamoDB_20120810.GetItem", &request);
        item["Item"]["token"]["S"].is_string().then_some(())
    });
}

fn untold(deployed: &Deployed) {
    ask(deployed, "untold");
    left_token(deployed, "untold");
    deployed.api().faults(json!([
        {"kind": "call", "effect": "fail", "service": "states", "operation": "SendTaskSuccess", "times": 1000},
    ]));
    let before = cauce(deployed, &["approve", "asking/untold", "ask"]);
    let told = cauce(deployed, &["why", "asking/untold", "ask"]);
    assert_ne!(deployed.api().faults_performed(), 0, "no fault was performed");
    assert_eq!(before.status.code(), Some(3), "{}", text(&before.stderr));
    assert!(text(&told.stdout).contains("it was approved by"), "{}", text(&told.stdout));
    deployed.sweep();
    assert_eq!(deployed.run_ended("asking/untold")["status"], "success");
}

fn cancelled(deployed: &Deployed) {
    ask(deployed, "cancelled");
    must("cauce cancel", &cauce(deployed, &["cancel", "asking/cancelled", "--reason", "enough"]));
    let run = deployed.run_ended("asking/cancelled");
    assert_eq!((&run["status"], &run["tasks"]["ask"]["status"]), (&json!("cancelled"), &json!("cancelled")));
    refused(&cauce(deployed, &["approve", "asking/cancelled", "ask"]), "is cancelled");
}

fn stopped(deployed: &Deployed) {
    ask(deployed, "stopped");
    deployed.stop("task-approval", &child(deployed, "stopped"));
    let run = deployed.run_ended("asking/stopped");
    assert_eq!(
        (&run["status"], &run["tasks"]["ask"]["status"]),
        (&json!("failed"), &json!("failed")),
        "{run}"
    );
    assert_eq!(run["tasks"]["ask"]["attempts"][0]["class"], "aborted");
}
