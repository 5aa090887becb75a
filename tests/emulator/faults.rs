//! What AWS does on bad days, and what must come out all the same.

use crate::Scenario;
use crate::api::until;
use crate::deployed::{ALARMS, Deployed, LANDING};
use cauce_model::RunKey;
use jiff::civil::date;
use serde_json::{Value as Json, json};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a function killed in mid-decision", killed_function),
    ("throttled writes and lost replies", throttled_store),
    ("events twice and out of order", events_twice),
    ("programs that exit 1, die by signal 9, take too long, succeed at the second try", endings),
    ("a program that never starts, then does", never_started),
    ("a spot stop with exit 0 is no success", spot_stop),
    ("a task's execution dies without a word", dead_child),
    ("a run stopped from outside runs its teardown", stopped_from_outside),
    ("a redrive from the console starts the next generation", redrive),
    ("a redrive of what was stopped starts the next generation after the teardown", redrive_stopped),
    ("a copy of a run's execution is refused and harms nothing", copied),
    ("without status events the sweep converges", sweep_converges),
    ("a slot whose holder died is given to who waits", dead_holder),
    ("a program that outlives its execution is stopped by the sweep", orphan),
    ("a failed run tells its channels", loud),
    ("a pipeline without its plan harms nobody else", poison),
    ("a command that does not fit fails for good, at once", wide_command),
];

/// Runs a pipeline from nothing to its end, with faults armed; its run.
pub(crate) fn run_with(deployed: &Deployed, pipeline: &str, name: &str, faults: Json) -> Json {
    let before = deployed.api().faults_performed();
    deployed.api().faults(faults);
    let name = &deployed.fresh(name);
    deployed.start(pipeline, name, &json!({}));
    let run = deployed.run_ended(&format!("{pipeline}/{name}"));
    assert_ne!(deployed.api().faults_performed(), before, "no fault was performed");
    run
}

fn statuses(run: &Json) -> Vec<(String, String)> {
    let tasks = run["tasks"].as_object().unwrap();
    tasks.iter().map(|(name, task)| (name.clone(), task["status"].as_str().unwrap().to_owned())).collect()
}

pub(crate) fn attempts(run: &Json, task: &str) -> usize {
    run["tasks"][task]["attempts"].as_array().map_or(0, Vec::len)
}

fn killed_function(deployed: &Deployed) {
    // Before and after each of the first calls that a decision makes.
    let mut faults = Vec::new();
    for function in ["open-run", "begin-task", "finish-task", "close-run"] {
        for call in 1..=3 {
            let function = deployed.name(function);
            faults.push(json!({"kind": "kill", "function": function, "before_call": call}));
            faults.push(json!({"kind": "kill", "function": function, "after_call": call}));
        }
    }
    let run = run_with(deployed, "by_hand", "killed-functions", json!(faults));
    assert_eq!(run["status"], "success");
    assert_eq!(attempts(&run, "work"), 1);
}

fn throttled_store(deployed: &Deployed) {
    let faults = json!([
        {"kind": "call", "effect": "throttle", "service": "dynamodb", "operation": "TransactWriteItems", "times": 5},
        {"kind": "call", "effect": "throttle", "service": "dynamodb", "operation": "UpdateItem", "times": 3},
        {"kind": "call", "effect": "lose", "service": "dynamodb", "operation": "TransactWriteItems", "times": 2, "skip": 1},
        {"kind": "call", "effect": "lose", "service": "states", "operation": "SendTaskSuccess", "times": 2},
        {"kind": "call", "effect": "fail", "service": "s3", "times": 2},
    ]);
    let run = run_with(deployed, "by_hand", "throttled", faults);
    assert_eq!(run["status"], "success");
    assert_eq!(attempts(&run, "work"), 1);
}

fn events_twice(deployed: &Deployed) {
    let before = deployed.api().faults_performed();
    deployed.api().faults(json!([
        {"kind": "event", "effect": "duplicate", "source": "aws.s3", "times": 3},
        {"kind": "event", "effect": "delay", "source": "aws.s3", "seconds": 1, "times": 1},
    ]));
    let day = deployed.fresh_day(date(1997, 2, 7));
    for (key, bytes) in crate::sales::exports(deployed, &day).iter().rev() {
        deployed.api().put_object(LANDING, key, bytes);
    }
    let run = deployed.run_ended(&format!("ventas_batch/{day}"));
    assert_ne!(deployed.api().faults_performed(), before, "no fault was performed");
    assert_eq!(run["status"], "success");
    assert_eq!(run["generation"], 1);
}

fn endings(deployed: &Deployed) {
    let name = deployed.fresh("all");
    deployed.start("endings", &name, &json!({}));
    let run = deployed.run_ended(&format!("endings/{name}"));
    assert_eq!(run["status"], "success", "{run}");
    let last = |task: &str| run["tasks"][task]["attempts"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last("fails")["exit_code"], 1);
    assert_eq!(last("fails")["class"], "exit");
    assert_eq!(last("killed")["exit_code"], 137);
    assert_eq!(last("killed")["class"], "killed");
    // By its entrypoint: its state waits ten minutes longer, for a container to start, and nobody here does.
    assert_eq!(last("late")["class"], "timeout");
    assert_eq!(attempts(&run, "second_try"), 2);
    assert_eq!(run["tasks"]["after"]["status"], "success");
}

fn never_started(deployed: &Deployed) {
    let faults = json!([{"kind": "task", "effect": "end", "stop_code": "TaskFailedToStart", "run": false,
        "reason": "Capacity is unavailable at this time. Please try again later or in a different availability zone"}]);
    let run = run_with(deployed, "platform", "never-started", faults);
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(attempts(&run, "work"), 2);
    assert_eq!(run["tasks"]["work"]["attempts"][0]["class"], "capacity");
}

fn spot_stop(deployed: &Deployed) {
    let faults = json!([{"kind": "task", "effect": "end", "stop_code": "SpotInterruption", "exit_code": 0,
        "reason": "Your Spot Task was interrupted."}]);
    let run = run_with(deployed, "platform", "spot-stop", faults);
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(attempts(&run, "work"), 2);
    assert_eq!(run["tasks"]["work"]["attempts"][0]["class"], "spot_interruption");
}

fn dead_child(deployed: &Deployed) {
    let name = &deployed.fresh("dead-child");
    deployed.start("slow", name, &json!({}));
    let child = until(deployed.api(), "the execution of slow/work", || {
        deployed.children("slow", name).into_iter().find(|name| name.contains("-work-"))
    });
    deployed.stop("task-container", &child);
    let run = deployed.run_ended(&format!("slow/{name}"));
    assert_eq!(run["status"], "failed", "{run}");
    let wanted = [("clean", "success"), ("prepare", "success"), ("work", "failed")];
    let mut found = statuses(&run);
    // What an earlier visit has deployed into this pipeline is no part of this.
    found.retain(|(task, _)| !task.starts_with("added_"));
    found.sort();
    assert_eq!(found, wanted.map(|(task, status)| (task.to_owned(), status.to_owned())));
}

fn stopped_from_outside(deployed: &Deployed) {
    let name = &start_slow(deployed, "stopped");
    deployed.stop("slow", name);
    let run = until(deployed.api(), "the teardown of slow/stopped", || {
        let run = deployed.show(&format!("slow/{name}"))?;
        (run["tasks"]["clean"]["status"] == "success" && run["ended_at"].is_string()).then_some(run)
    });
    assert_eq!(run["status"], "cancelled", "{run}");
    // Whichever is heard of first: the end of the task's execution, or of the run's.
    let work = run["tasks"]["work"]["status"].as_str().unwrap();
    assert!(["cancelled", "failed"].contains(&work), "{run}");
}

fn redrive(deployed: &Deployed) {
    let name = &deployed.fresh("again");
    deployed.start("redriven", name, &json!({}));
    assert_eq!(deployed.ended("redriven", name), "FAILED");
    deployed.redrive("redriven", name);
    let run = until(deployed.api(), "the second generation of redriven/again", || {
        let run = deployed.show(&format!("redriven/{name}"))?;
        (run["generation"] == 2 && run["ended_at"].is_string()).then_some(run)
    });
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(attempts(&run, "first"), 1);
    assert_eq!(attempts(&run, "second"), 2);
}

/// Starts the slow pipeline, and looks until its program runs.
fn start_slow(deployed: &Deployed, name: &str) -> String {
    let name = deployed.fresh(name);
    deployed.start("slow", &name, &json!({}));
    slow_works(deployed, &name, 1);
    name
}

fn slow_works(deployed: &Deployed, name: &str, generation: u32) {
    until(deployed.api(), "the program of slow", || {
        let run = deployed.show(&format!("slow/{name}"))?;
        (run["generation"] == generation && run["tasks"]["work"]["status"] == "running").then_some(())
    });
}

/// Looks until the run was torn down in this generation.
fn slow_torn_down(deployed: &Deployed, name: &str, generation: u32) {
    let run = until(deployed.api(), "the end of a teardown", || {
        let run = deployed.show(&format!("slow/{name}"))?;
        (run["generation"] == generation && run["ended_at"].is_string()).then_some(run)
    });
    let ends = [&run["status"], &run["tasks"]["clean"]["status"]];
    assert_eq!(ends, ["cancelled", "success"], "{run}");
}

fn redrive_stopped(deployed: &Deployed) {
    let name = &start_slow(deployed, "stopped-by-mistake");
    deployed.stop("slow", name);
    slow_torn_down(deployed, name, 2);
    deployed.redrive("slow", name);
    slow_works(deployed, name, 3);
    deployed.stop("slow", &format!("{name}-g3"));
    slow_torn_down(deployed, name, 4);
}

fn copied(deployed: &Deployed) {
    let name = &start_slow(deployed, "copied");
    let heard = || {
        let lines = deployed.cloud().lines("lambdas.jsonl");
        let function = deployed.name("record-event");
        lines.iter().filter(|line| line["event"] == "invocation" && line["function"] == function).count()
    };
    let before = heard();
    let copy = &deployed.fresh("a-copy");
    deployed.start("slow", copy, &json!({"run_key": RunKey::new("slow", name), "generation": 1}));
    assert_eq!(deployed.ended("slow", copy), "FAILED");
    let cause = deployed.describe("slow", copy)["cause"].as_str().unwrap().to_owned();
    assert!(cause.contains(&format!("is executed by '{name}', not by '{copy}'")), "{cause}");
    // Its end is told, and is not the run's.
    until(deployed.api(), "the event of the copy's end", || (heard() > before).then_some(()));
    assert_eq!(deployed.show(&format!("slow/{name}")).unwrap()["status"], "running");
    deployed.stop("slow", name);
    slow_torn_down(deployed, name, 2);
}

fn sweep_converges(deployed: &Deployed) {
    let before = deployed.api().faults_performed();
    deployed
        .api()
        .faults(json!([{"kind": "event", "effect": "drop", "source": "aws.states", "times": 1000}]));
    let name = &start_slow(deployed, "unheard");
    deployed.stop("slow", name);
    for _ in 0..2 {
        deployed.sweep();
    }
    let run = deployed.run_ended(&format!("slow/{name}"));
    assert_ne!(deployed.api().faults_performed(), before, "no fault was performed");
    assert!(run["ended_at"].is_string(), "{run}");
}

/// Has the slot of the pool taken; the execution that holds it.
fn hold(deployed: &Deployed, run: &str) -> String {
    let run = &deployed.fresh(run);
    deployed.start("holding", run, &json!({}));
    until(deployed.api(), "the slot to be held", || {
        let run = deployed.show(&format!("holding/{run}"))?;
        (run["tasks"]["hold"]["status"] == "running").then_some(())
    });
    deployed.children("holding", run).into_iter().find(|name| name.contains("-hold-")).unwrap()
}

/// Starts a run that waits for the slot, and looks until it does; the run.
fn wait(deployed: &Deployed, name: &str) -> String {
    let name = deployed.fresh(name);
    deployed.start("limited", &name, &json!({}));
    let run = format!("limited/{name}");
    until(deployed.api(), "somebody to wait for the slot", || {
        let run = deployed.show(&run)?;
        (run["tasks"]["a"]["status"] == "queued").then_some(())
    });
    run
}

fn dead_holder(deployed: &Deployed) {
    let holder = hold(deployed, "first");
    wait(deployed, "waits");
    // And somebody behind it, since only one run of this pipeline may be under way.
    deployed.start("limited", &deployed.fresh("waits-behind"), &json!({}));
    deployed.stop("task-container", &holder);
    for run in ["waits", "waits-behind"] {
        let run = deployed.fresh(run);
        assert_eq!(deployed.run_ended(&format!("limited/{run}"))["status"], "success");
    }
    // The same where nobody hears of the death.
    let holder = hold(deployed, "second");
    let waits = wait(deployed, "waits-again");
    deployed.api().faults(json!([{"kind": "event", "effect": "drop", "source": "aws.states", "times": 1000},
                                 {"kind": "event", "effect": "drop", "source": "aws.ecs", "times": 1000}]));
    deployed.stop("task-container", &holder);
    deployed.sweep();
    assert_eq!(deployed.run_ended(&waits)["status"], "success");
}

fn orphan(deployed: &Deployed) {
    hold(deployed, "orphaned");
    deployed.api().faults(json!([
        {"kind": "event", "effect": "drop", "source": "aws.states", "times": 1000},
        {"kind": "event", "effect": "drop", "source": "aws.ecs", "times": 1000},
        {"kind": "call", "effect": "fail", "service": "ecs", "operation": "StopTask", "times": 1},
    ]));
    let name = &deployed.fresh("orphaned");
    deployed.stop("holding", name);
    until(deployed.api(), "the program to be stopped", || {
        let report = deployed.sweep();
        (report["stopped"].as_u64() > Some(0)).then_some(())
    });
    assert_eq!(deployed.run_ended(&format!("holding/{name}"))["status"], "cancelled");
}

fn loud(deployed: &Deployed) {
    let before = deployed.dead_letters().len();
    let heard = deployed.listen(ALARMS);
    deployed.start("loud", "once", &json!({}));
    assert_eq!(deployed.run_ended("loud/once")["status"], "failed");
    until(deployed.api(), "the notice that no file can take", || {
        let letters = deployed.dead_letters();
        (letters.len() > before && letters.iter().any(|reason| reason.contains("archivo"))).then_some(())
    });
    // Its address is a value of the environment, which Terraform fills.
    until(deployed.api(), "the notice on the topic", || {
        deployed.received(&heard).iter().any(|body| body.contains("loud/once")).then_some(())
    });
}

fn poison(deployed: &Deployed) {
    // A tick of a pipeline that nobody deployed, a message that is no event, and a good tick behind them.
    deployed.send_to_triggers("{not json");
    deployed.send_to_triggers(r#"{"source": "aws.ec2", "detail": {}}"#);
    deployed.send("events", r#"{"source": "aws.s3", "detail": {}}"#);
    deployed.tick("ticking", "2026-02-06T10:30:00Z");
    assert_eq!(deployed.ended("ticking", "2026-02-05-g1"), "SUCCEEDED");
    let mut missing = vec!["not JSON", "aws.ec2", "aws.s3"];
    until(deployed.api(), "three dead letters with their reasons", || {
        // A queue shows ten letters at most, and not always the same.
        let reasons = deployed.dead_letters();
        missing.retain(|words| !reasons.iter().any(|reason| reason.contains(words)));
        missing.is_empty().then_some(())
    });
}

fn wide_command(deployed: &Deployed) {
    deployed.start("wide_command", "wide", &json!({"params": {"text": "x".repeat(9_000)}}));
    let run = deployed.run_ended("wide_command/wide");
    assert_eq!(run["status"], "failed");
    assert!(attempts(&run, "work") <= 1, "{run}");
    assert!(run.to_string().contains("8192"), "{run}");
    deployed.start("wide_command", "narrow", &json!({"params": {"text": "short"}}));
    assert_eq!(deployed.run_ended("wide_command/narrow")["status"], "success");
}
