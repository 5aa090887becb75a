//! The ways in: a tick of a schedule, an execution started by hand, the command line; and many at once.

use crate::Scenario;
use crate::api::until;
use crate::cloud::{must, text};
use crate::commands::cauce;
use crate::deployed::{Deployed, LANDING};
use serde_json::{Value as Json, json};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a tick of a schedule is one run, however often it comes", tick),
    ("an execution started from the command line of AWS is a run", by_hand),
    ("every file that arrives is one run, however often it is told", arrivals),
    ("files that come close together are collected into runs", collected),
    ("parameters that are wrong are refused by name", refused),
    ("the command line triggers, lists, explains and cancels", command_line),
    ("items of a map, and a run of another pipeline", nested),
    ("a run that a task started ends with the task, and a run with the newer one", ended_with),
    ("two hundred runs at once, none lost", two_hundred),
];

fn tick(deployed: &Deployed) {
    // 05:30 in New York is 10:30 in winter; the run covers the day that ends with the tick.
    for _ in 0..3 {
        deployed.tick("ticking", "2026-01-06T10:30:00Z");
    }
    assert_eq!(deployed.ended("ticking", "2026-01-05-g1"), "SUCCEEDED");
    assert_eq!(deployed.executions("ticking").len(), 1);
    let run = deployed.run_ended("ticking/2026-01-05");
    assert_eq!(run["trigger"], "schedule");
    assert_eq!(run["logical_date"], "2026-01-05T10:30:00.000000Z");
}

fn by_hand(deployed: &Deployed) {
    let machine = deployed.machine("by_hand");
    deployed.cloud().aws(&[
        "stepfunctions",
        "start-execution",
        "--state-machine-arn",
        &machine,
        "--name",
        "from-aws",
        "--input",
        r#"{"params": {"rows": 7}}"#,
    ]);
    assert_eq!(deployed.ended("by_hand", "from-aws"), "SUCCEEDED");
    let run = deployed.run_ended("by_hand/from-aws");
    assert_eq!(run["tasks"]["work"]["output"], json!({"rows": 7}));
    assert_eq!(run["tasks"]["many"]["status"], "success");
    assert_eq!(run["tasks"]["few"]["status"], "skipped");
    deployed.start("by_hand", "with-nothing", &json!({}));
    assert_eq!(deployed.ended("by_hand", "with-nothing"), "SUCCEEDED");
    assert_eq!(deployed.run_ended("by_hand/with-nothing")["tasks"]["work"]["output"], json!({"rows": 3}));
}

fn arrivals(deployed: &Deployed) {
    deployed.api().faults(json!([{"kind": "event", "effect": "duplicate", "source": "aws.s3", "times": 2}]));
    for n in 1..=5 {
        deployed.api().put_object(LANDING, &format!("arrivals/{n}.csv"), b"1");
    }
    // What fits no pattern of any pipeline starts nothing, and is no fault either.
    deployed.api().put_object(LANDING, "arrivals/readme.txt", b"1");
    until(deployed.api(), "five runs, ended", || {
        let ended = deployed.executions("arriving").iter().filter(|one| one["status"] == "SUCCEEDED").count();
        (ended == 5).then_some(())
    });
    assert_eq!(deployed.executions("arriving").len(), 5);
    let became = |what: &str| {
        let told =
            cauce(deployed, &format!("triggers --pipeline arriving --became {what} --limit 1000 --json"));
        told.exits(0).json()["events"].as_array().unwrap().clone()
    };
    until(deployed.api(), "the two that came twice", || (became("duplicate").len() == 2).then_some(()));
    let (runs, twice) = (became("run"), became("duplicate"));
    assert_eq!(runs.len(), 5);
    for again in twice {
        assert_eq!(runs.iter().filter(|first| first["run"] == again["run"]).count(), 1, "{again}");
    }
    let shown = cauce(deployed, "triggers --pipeline arriving").exits(0);
    shown.shows(&format!("s3://{LANDING}/arrivals/5.csv")).shows("the same event was received again");

    // One that nobody told of, as those that were there before the deployment.
    deployed.api().faults(json!([{"kind": "event", "effect": "drop", "source": "aws.s3", "times": 1}]));
    deployed.api().put_object(LANDING, "arrivals/6.csv", b"1");
    cauce(deployed, "triggers scan arriving --dry-run").exits(0).shows("arrivals/6.csv").says("6 found");
    cauce(deployed, "triggers scan arriving").exits(0).says("5 duplicate, 1 run");
    cauce(deployed, "triggers scan arriving").exits(0).says("6 duplicate");
    until(deployed.api(), "the run of the sixth, ended", || {
        let ended = deployed.executions("arriving").iter().filter(|one| one["status"] == "SUCCEEDED").count();
        (ended == 6).then_some(())
    });
}

fn collected(deployed: &Deployed) {
    for n in 1..=10 {
        deployed.api().put_object(LANDING, &format!("collected/{n:02}.csv"), b"1");
    }
    // Its time is over a second after the last of them: the sweep looks, as it does every five minutes.
    until(deployed.api(), "three runs, ended", || {
        deployed.sweep();
        let ended =
            deployed.executions("collecting").iter().filter(|one| one["status"] == "SUCCEEDED").count();
        (ended == 3).then_some(())
    });
    let mut told = Vec::new();
    for run in
        cauce(deployed, "runs --pipeline collecting --json").exits(0).json()["runs"].as_array().unwrap()
    {
        let run = deployed.run_ended(&format!("collecting/{}", run["run_id"].as_str().unwrap()));
        told.push(run["tasks"]["take"]["output"]["told"].as_u64().unwrap());
    }
    told.sort_unstable();
    assert_eq!(told, [2, 4, 4]);
    let sets = cauce(deployed, "triggers --pipeline collecting --became run --json").exits(0).json();
    let files: u64 =
        sets["events"].as_array().unwrap().iter().map(|set| set["event"]["files"].as_u64().unwrap()).sum();
    assert_eq!(files, 10);
}

fn refused(deployed: &Deployed) {
    deployed.start("by_hand", "too-many", &json!({"params": {"rows": 700}}));
    assert_eq!(deployed.ended("by_hand", "too-many"), "FAILED");
    let described = deployed.describe("by_hand", "too-many");
    assert_eq!(described["error"], "Cauce.RunRejected");
    assert!(described["cause"].as_str().unwrap().contains("rows"), "{described}");
}

fn command_line(deployed: &Deployed) {
    let cauce = |args: &[&str]| deployed.cloud().cauce(deployed.project(), args);
    let triggered = cauce(&["trigger", "by_hand", "--env", "dev", "--param", "rows=4", "--wait"]);
    must("cauce trigger", &triggered);
    let runs = cauce(&["runs", "--pipeline", "by_hand", "--env", "dev", "--json"]);
    must("cauce runs", &runs);
    assert!(text(&runs.stdout).contains("by_hand"), "{}", text(&runs.stdout));
    must("cauce list", &cauce(&["list", "--env", "dev"]));
    must("cauce why", &cauce(&["why", "by_hand/from-aws", "--env", "dev"]));
    let logs = cauce(&["logs", "endings/@latest", "fails", "--env", "dev"]);
    assert_ne!(logs.status.code(), Some(3), "{}", text(&logs.stderr));
    let audit = cauce(&["audit", "--env", "dev", "--json"]);
    must("cauce audit", &audit);
    assert!(text(&audit.stdout).contains("by_hand"), "{}", text(&audit.stdout));
    let wrong = cauce(&["trigger", "by_hand", "--env", "dev", "--param", "rows=400"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

fn nested(deployed: &Deployed) {
    deployed.start("nested", "once", &json!({}));
    let run = deployed.run_ended("nested/once");
    assert_eq!(run["status"], "success", "{run}");
    let outputs: Vec<Json> = run["tasks"]["each"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["output"].clone())
        .collect();
    assert_eq!(outputs, [2, 4, 6].map(|double| json!({"double": double})));
    assert_eq!(run["tasks"]["other"]["status"], "success");
    assert_eq!(deployed.executions("by_hand").iter().filter(|one| one["status"] == "RUNNING").count(), 0);
}

/// The run of the pipeline `inner` that is under way, once it works.
fn working(deployed: &Deployed) -> String {
    until(deployed.api(), "work of inner", || {
        let all = deployed.executions("inner");
        let open = all.iter().find(|one| one["status"] == "RUNNING")?["name"].as_str()?;
        let run = format!("inner/{}", open.strip_suffix("-g1")?);
        let shown = deployed.show(&run)?;
        (shown["tasks"]["works"]["status"] == "running").then_some(run)
    })
}

fn ended_with(deployed: &Deployed) {
    let cancelled = |run: &str| {
        let run = deployed.run_ended(run);
        let statuses = ["rent", "works", "give"].map(|task| run["tasks"][task]["status"].clone());
        assert_eq!(run["status"], "cancelled", "{run}");
        // In the generation that was cancelled: nobody has stopped it from outside.
        assert_eq!(run["generation"], 1, "{run}");
        assert_eq!(statuses, ["success", "cancelled", "success"].map(Json::from), "{run}");
    };
    deployed.start("outer", "first", &json!({}));
    let inner = working(deployed);
    // The functions that let the newest in end what is before it.
    deployed.start("outer", "second", &json!({}));
    cancelled(&inner);
    assert_eq!(deployed.run_ended("outer/first")["status"], "cancelled");
    let inner = working(deployed);
    let cauce = |args: &[&str]| deployed.cloud().cauce(deployed.project(), args);
    must("cauce cancel", &cauce(&["cancel", "outer/second", "--env", "dev"]));
    cancelled(&inner);
    assert_eq!(deployed.run_ended("outer/second")["status"], "cancelled");
    // Over its time, and stopped from the console.
    deployed.start("outer_late", "late", &json!({}));
    let late = deployed.run_ended("outer_late/late");
    assert_eq!(late["tasks"]["inner"]["attempts"][0]["class"], "timeout", "{late}");
    deployed.start("outer", "stopped", &json!({}));
    let inner = working(deployed);
    deployed.stop("outer", "stopped");
    cancelled(&inner);
    for execution in deployed.executions("inner") {
        let name = execution["name"].as_str().unwrap();
        let run = deployed.run_ended(&format!("inner/{}", name.strip_suffix("-g1").unwrap()));
        assert_eq!(run["status"], "cancelled", "{run}");
    }
}

fn two_hundred(deployed: &Deployed) {
    for n in 0..200 {
        deployed.start("many", &format!("many-{n:03}"), &json!({"params": {"n": n}}));
    }
    for n in 0..200 {
        assert_eq!(deployed.ended("many", &format!("many-{n:03}")), "SUCCEEDED", "many-{n:03}");
    }
}
