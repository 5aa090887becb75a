//! What people do to runs that exist: the commands with `--env`, what they say, and what the cloud then
//! holds.

use crate::Scenario;
use crate::api::until;
use crate::cloud::text;
use crate::deployed::Deployed;
use serde_json::{Value as Json, json};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("rerun goes on from what failed", rerun),
    ("cancel stops the program and runs the teardown", cancel),
    ("what a cancelled program said can be read", cancelled_log),
    ("mark says how a task ended, and rerun goes on from there", mark),
    ("a paused pipeline's tick starts nothing, and what it missed can be made up for", pause),
    ("backfill runs what is missing of a range", backfill),
    ("logs are a task's own lines", logs),
    ("pools show who holds and who waits", pools),
    ("cost is forecast, and summed over what ran", cost),
];

/// What the program answered.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) data: String,
    pub(crate) talk: String,
}

impl Answer {
    /// The answer, which has to be this exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.data, self.talk);
        self
    }

    /// The answer, whose talk has to hold these words.
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.talk.contains(words), "no '{words}' in: {}", self.talk);
        self
    }

    /// The answer, whose data has to hold these words.
    pub(crate) fn shows(self, words: &str) -> Self {
        assert!(self.data.contains(words), "no '{words}' in: {}", self.data);
        self
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}{}", self.data, self.talk))
    }
}

/// `cauce` with these words and `--env dev`, in the project's folder.
pub(crate) fn cauce(deployed: &Deployed, words: &str) -> Answer {
    let args: Vec<&str> = words.split(' ').chain(["--env", "dev"]).collect();
    let output = deployed.cloud().cauce(deployed.project(), &args);
    Answer { code: output.status.code(), data: text(&output.stdout), talk: text(&output.stderr) }
}

/// The numbers of a task's attempts, with how each ended.
fn attempts(run: &Json, task: &str) -> Vec<(u64, Option<i64>)> {
    let attempts = run["tasks"][task]["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| (attempt["number"].as_u64().unwrap(), attempt["exit_code"].as_i64())).collect()
}

pub(crate) fn status<'a>(run: &'a Json, task: &str) -> &'a str {
    run["tasks"][task]["status"].as_str().unwrap()
}

/// Waits until the program of a task runs.
fn under_way(deployed: &Deployed, run: &str, task: &str) -> Json {
    until(deployed.api(), &format!("the program of {task} of {run}"), || {
        let shown = deployed.show(run)?;
        (status(&shown, task) == "running").then_some(shown)
    })
}

/// The programs of a run that ECS has under way.
fn programs(deployed: &Deployed, pipeline: &str, run_id: &str) -> usize {
    let cluster = deployed.name("");
    let cluster = cluster.trim_end_matches('-');
    let arns = deployed.cloud().aws(&["ecs", "list-tasks", "--cluster", cluster]);
    let arns: Vec<&str> = arns["taskArns"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    if arns.is_empty() {
        return 0;
    }
    let words = [&["ecs", "describe-tasks", "--cluster", cluster, "--include", "TAGS", "--tasks"], &arns[..]];
    let tasks = deployed.cloud().aws(&words.concat());
    let key = cauce_model::RunKey::new(pipeline, run_id);
    let ours = json!({"key": "cauce:run_key", "value": key.as_str()});
    let tasks = tasks["tasks"].as_array().unwrap().iter();
    tasks.filter(|task| task["tags"].as_array().is_some_and(|tags| tags.contains(&ours))).count()
}

/// The last thing that the audit says was done to a run.
fn audited(deployed: &Deployed, action: &str, run: &str) -> Json {
    let audit = cauce(deployed, "audit --json").exits(0).json();
    let entries = audit["entries"].as_array().unwrap_or_else(|| panic!("{audit}"));
    let of_run = |entry: &&Json| entry["action"] == action && entry["run"] == run;
    entries.iter().find(of_run).unwrap_or_else(|| panic!("no {action} of {run} in {audit}")).clone()
}

fn rerun(deployed: &Deployed) {
    deployed.start("redriven", "by-command", &json!({}));
    assert_eq!(deployed.ended("redriven", "by-command"), "FAILED");
    let run = deployed.run_ended("redriven/by-command");
    assert_eq!((attempts(&run, "first").len(), attempts(&run, "second").len()), (1, 1));

    cauce(deployed, "rerun redriven/by-command --wait").exits(0).says("generation 2").shows("second");
    assert_eq!(deployed.ended("redriven", "by-command-g2"), "SUCCEEDED");
    let run = deployed.run_ended("redriven/by-command");
    assert_eq!((run["generation"].clone(), run["status"].clone()), (json!(2), json!("success")));
    assert_eq!(attempts(&run, "first"), [(1, Some(0))], "what succeeded ran again");
    assert_eq!(attempts(&run, "second"), [(1, Some(1)), (2, Some(0))]);

    // One task and what is below it, whatever its status.
    cauce(deployed, "rerun redriven/by-command --task first --downstream --wait")
        .exits(0)
        .says("generation 3");
    let run = deployed.run_ended("redriven/by-command");
    assert_eq!((attempts(&run, "first").len(), attempts(&run, "second").len()), (2, 3));
    assert!(
        audited(deployed, "rerun", "redriven/by-command")["by"].as_str().unwrap().starts_with("arn:aws:")
    );

    cauce(deployed, "rerun redriven/nope").exits(2).says("there is no run 'redriven/nope'");
    cauce(deployed, "rerun redriven/by-command --task frist").exits(2).says("did you mean 'first'?");
}

fn cancel(deployed: &Deployed) {
    deployed.start("slow", "cancelled", &json!({}));
    under_way(deployed, "slow/cancelled", "work");
    assert_eq!(programs(deployed, "slow", "cancelled"), 1);
    cauce(deployed, "rerun slow/cancelled").exits(2).says("cauce cancel slow/cancelled --env dev");
    cauce(deployed, "mark slow/cancelled work success").exits(2).says("cancel it first");

    cauce(deployed, "cancel slow/cancelled --reason wrong_day").exits(0).says("is being cancelled");
    let run = deployed.run_ended("slow/cancelled");
    assert_eq!((run["status"].clone(), run["message"].clone()), (json!("cancelled"), json!("wrong_day")));
    assert_eq!(status(&run, "prepare"), "success");
    assert_eq!(status(&run, "work"), "cancelled");
    assert_eq!(status(&run, "clean"), "success", "the teardown did not run");
    // The console shows it as failed: nobody shall take it for done.
    assert_eq!(deployed.ended("slow", "cancelled"), "FAILED");
    until(deployed.api(), "the end of its program", || {
        (programs(deployed, "slow", "cancelled") == 0).then_some(())
    });
    assert_eq!(audited(deployed, "cancel", "slow/cancelled")["detail"]["reason"], "wrong_day");
    cauce(deployed, "cancel slow/cancelled").exits(2).says("slow/cancelled has ended: cancelled");
}

fn cancelled_log(deployed: &Deployed) {
    deployed.start("hung", "once", &json!({}));
    under_way(deployed, "hung/once", "hangs");
    let said = until(deployed.api(), "the line of the program under way", || {
        let answer = cauce(deployed, "logs hung/once hangs");
        (answer.code == Some(0) && !answer.data.is_empty()).then_some(answer.data)
    });
    assert_eq!(said, "here, and no further\n");
    cauce(deployed, "cancel hung/once").exits(0);
    deployed.run_ended("hung/once");
    // Its execution was stopped and told nobody; the event of its end says which log was its.
    let said = until(deployed.api(), "the log of the program that was stopped", || {
        let answer = cauce(deployed, "logs hung/once hangs");
        (answer.code == Some(0)).then_some(answer.data)
    });
    assert_eq!(said, "here, and no further\n");
}

fn mark(deployed: &Deployed) {
    deployed.start("doubtful", "once", &json!({}));
    let run = deployed.run_ended("doubtful/once");
    assert_eq!((status(&run, "second"), status(&run, "third")), ("failed", "upstream_failed"));

    cauce(deployed, "mark doubtful/once second success").exits(0).says("cauce rerun doubtful/once --env dev");
    cauce(deployed, "rerun doubtful/once --wait").exits(0);
    let run = deployed.run_ended("doubtful/once");
    assert_eq!((run["status"].clone(), status(&run, "third")), (json!("success"), "success"));
    assert_eq!(attempts(&run, "second"), [(1, Some(1))], "what was marked ran again");
    assert!(run["tasks"]["second"]["reason"].as_str().unwrap().contains("marked as success by arn:aws:"));

    // And the other way: what succeeded did not, after all.
    cauce(deployed, "mark doubtful/once first failed").exits(0);
    cauce(deployed, "rerun doubtful/once --wait").exits(1);
    let run = deployed.run_ended("doubtful/once");
    assert_eq!(attempts(&run, "first"), [(1, Some(0)), (2, Some(0))]);
    let marked = audited(deployed, "mark", "doubtful/once");
    assert_eq!(
        (marked["task"].clone(), marked["detail"]["before"].clone()),
        (json!("first"), json!("success"))
    );
    cauce(deployed, "mark doubtful/once frist failed").exits(2).says("did you mean 'first'?");
}

/// How many ticks of a pipeline the ledger says were held back.
fn held_back(deployed: &Deployed, pipeline: &str) -> u64 {
    let request = json!({
        "TableName": deployed.name("store"),
        "FilterExpression": "became = :became AND pipeline = :pipeline",
        "ExpressionAttributeValues": {":became": {"S": "paused"}, ":pipeline": {"S": pipeline}},
        "Select": "COUNT",
    });
    deployed.api().call("dynamodb", "DynamoDB_20120810.Scan", &request)["Count"].as_u64().unwrap()
}

fn pause(deployed: &Deployed) {
    let ran = |day: &str| deployed.show(&format!("ticking/{day}")).is_some();
    let listed = || cauce(deployed, "list --json").exits(0).json();
    let paused = || {
        let all = listed();
        let ticking = all["pipelines"].as_array().unwrap().iter().find(|one| one["pipeline"] == "ticking");
        ticking.unwrap()["paused"].clone()
    };
    cauce(deployed, "pause ticking").exits(0).says("ticking is paused");
    assert_eq!(paused(), true);
    deployed.tick("ticking", "2026-03-02T10:30:00Z");
    until(deployed.api(), "the tick in the ledger", || (held_back(deployed, "ticking") == 1).then_some(()));
    assert!(!ran("2026-03-01"), "a paused pipeline's tick started a run");
    cauce(deployed, "unpause ticking").exits(0).says("no longer paused");
    assert_eq!(paused(), false);
    // What was held back is made up for as `catchup` says, or by a backfill; the next tick comes as ever.
    deployed.tick("ticking", "2026-03-03T10:30:00Z");
    assert_eq!(deployed.run_ended("ticking/2026-03-02")["status"], "success");
    cauce(deployed, "backfill ticking --from 2026-03-01 --to 2026-03-02 --wait").exits(0);
    assert_eq!(deployed.run_ended("ticking/2026-03-01")["status"], "success");
    cauce(deployed, "pause nope").exits(2).says("not deployed to 'dev'");
}

fn backfill(deployed: &Deployed) {
    let before = deployed.executions("ticking").len();
    cauce(deployed, "trigger ticking --logical-date 2026-04-02 --wait").exits(0);
    let range = "backfill ticking --from 2026-04-01 --to 2026-04-04";
    cauce(deployed, &format!("{range} --dry-run"))
        .exits(0)
        .shows("ticking/2026-04-01  2026-04-01T09:30:00Z  2026-04-02T09:30:00Z  new")
        .shows("success: kept")
        .says("3 of them would run: about 0.000");
    assert_eq!(deployed.executions("ticking").len(), before + 1, "a dry run started something");

    cauce(deployed, &format!("{range} --wait")).exits(0).shows("ticking/2026-04-04");
    for day in ["2026-04-01", "2026-04-03", "2026-04-04"] {
        let run = deployed.run_ended(&format!("ticking/{day}"));
        assert_eq!((run["status"].clone(), run["trigger"].clone()), (json!("success"), json!("backfill")));
    }
    assert_eq!(deployed.run_ended("ticking/2026-04-02")["trigger"], "manual");
    assert_eq!(deployed.executions("ticking").len(), before + 4);
    cauce(deployed, range).exits(0).says("nothing to run");

    cauce(deployed, "backfill ticking --from 2026-04-01 --to 2026-04-01 --existing all --wait").exits(0);
    assert_eq!(deployed.run_ended("ticking/2026-04-01")["generation"], 2);
    cauce(deployed, "backfill ticking --from 2026-04-02 --to 2026-04-01").exits(2).says("ends (2026-04-01)");
}

fn logs(deployed: &Deployed) {
    deployed.start("talking", "once", &json!({}));
    assert_eq!(deployed.run_ended("talking/once")["status"], "success");
    let said = |words: &str| cauce(deployed, &format!("logs talking/once {words}")).exits(0).data;
    assert_eq!(said("says"), "attempt 2 of once\naside\n");
    assert_eq!(said("says --attempt 1"), "attempt 1 of once\naside\n");
    assert_eq!(said("each --item 1"), "item 8\n");
    assert_eq!(said("says --follow"), "attempt 2 of once\naside\n");
    // The very lines that CloudWatch Logs has.
    let run = deployed.run_ended("talking/once");
    let stream = run["tasks"]["says"]["attempts"][1]["log"].as_str().unwrap().to_owned();
    let group = format!("/cauce/{}/talking", deployed.name("").trim_end_matches('-'));
    let words = ["logs", "get-log-events", "--log-group-name", &group, "--log-stream-name", &stream];
    let events = deployed.cloud().aws(&words);
    let lines: Vec<&str> =
        events["events"].as_array().unwrap().iter().filter_map(|event| event["message"].as_str()).collect();
    assert_eq!(lines, ["attempt 2 of once", "aside"]);

    let asks = |words: &str| cauce(deployed, &format!("logs talking/once {words}")).exits(2);
    asks("each").says("name one with --item N");
    asks("silent").says("starts no program").says("silent --env dev");
    asks("says --attempt 3").says("its attempts are 1, 2");
    // A program that ended without a word has none to come.
    cauce(deployed, "logs doubtful/once second").exits(0).says("printed nothing");
}

fn pools(deployed: &Deployed) {
    let pool = || {
        let shown = cauce(deployed, "pools narrow --json").exits(0).json();
        shown["pools"][0].clone()
    };
    assert_eq!((pool()["slots"].clone(), pool()["used"].clone()), (json!(1), json!(0)));
    deployed.start("holding", "shown", &json!({}));
    under_way(deployed, "holding/shown", "hold");
    deployed.start("limited", "shown", &json!({}));
    until(deployed.api(), "somebody to wait for the slot", || {
        let run = deployed.show("limited/shown")?;
        (status(&run, "a") == "queued" && status(&run, "b") == "queued").then_some(())
    });
    let shown = pool();
    assert_eq!(shown["used"], 1);
    assert_eq!(shown["holders"][0]["holder"], "hold of holding/shown");
    let waiting = shown["waiting"].as_array().unwrap();
    let mut waiters: Vec<&str> = waiting.iter().filter_map(|place| place["waiter"].as_str()).collect();
    assert!(waiting.iter().all(|place| place["since"].is_string()), "{shown}");
    waiters.sort_unstable();
    assert_eq!(waiters, ["a of limited/shown", "b of limited/shown"], "{shown}");
    cauce(deployed, "why limited/shown a").exits(0).shows("narrow");
    cauce(deployed, "cancel holding/shown").exits(0);
    assert_eq!(deployed.run_ended("limited/shown")["status"], "success");
    assert_eq!(pool()["used"], 0);
    cauce(deployed, "pools nope").exits(2).says("there is no pool 'nope'");
}

fn cost(deployed: &Deployed) {
    let told = cauce(deployed, "cost ticking --json").exits(0).json();
    let ticking = &told["pipelines"][0];
    let runs = deployed.executions("ticking").len() as u64;
    let usd = |value: &Json| value.as_f64().unwrap();
    let (forecast, spent) = (&ticking["forecast"], &ticking["spent"]);
    // A daily schedule, in a month of the mean length.
    assert!((usd(&forecast["runs_per_month"]) - 30.42).abs() < 0.01, "{forecast}");
    assert!(usd(&forecast["month_usd"]) > usd(&forecast["run_usd"]) * 30.0, "{forecast}");
    // One run more may be a generation of another.
    let counted = spent["runs"].as_u64().unwrap();
    assert!(counted > 0 && counted <= runs, "{spent} of {runs} executions");
    assert_eq!(spent["attempts"].as_u64().unwrap(), runs, "{spent}");
    // Each is billed a minute of 0.25 vCPU and 0.5 GB at least.
    assert!(usd(&spent["containers_usd"]) >= runs as f64 * 0.0002, "{spent}");
    assert!((usd(&spent["orchestration_usd"]) / (runs as f64 * usd(&forecast["run_usd"])) - 1.0).abs() < 0.5);
    let report = cauce(deployed, "report ticking --json").exits(0).json();
    assert!(report["runs"].as_u64().unwrap() > 0 && report["findings"].is_array(), "{report}");
    let newest = cauce(deployed, "report ticking @latest --json").exits(0).json();
    assert!(!newest["critical_path"].as_array().unwrap().is_empty(), "{newest}");
    cauce(deployed, "cost ticking").exits(0).shows("USD SPENT").says("in 'dev'").says("not counted");
    let before = cauce(deployed, "cost ticking --month 1997-01 --json").exits(0).json();
    assert_eq!(before["pipelines"][0]["spent"]["runs"], 0);
}
