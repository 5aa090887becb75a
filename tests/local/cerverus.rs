//! Market surveillance over the real indices: a series of runs per symbol, good data and spoiled data, each held
//! against a program that knows no cauce.

use std::fs;
use std::process::Command;

use crate::harness::{Project, has_worker, skipped};

const LAKE: &str = ".cauce/objects/cerverus-lake";

/// What a Python program says; `None` without Python.
fn python(project: &Project, args: &[&str]) -> Option<(bool, Vec<u8>)> {
    let mut python = Command::new("python3");
    python.args(args).current_dir(project.path(""));
    match python.output() {
        Ok(told) => Some((told.status.success(), told.stdout)),
        Err(_) => {
            skipped("python3");
            None
        }
    }
}

/// The stored report and the flagged days are those that the oracle finds.
fn verify(project: &Project, symbol: &str, day: &str) {
    let Some((good, told)) = python(project, &["verify/quality.py", "--check", symbol, day]) else { return };
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(good && told.contains("are the same"), "{told}");
}

#[test]
fn each_symbol_has_its_own_runs_and_the_days_of_the_crisis_stand_out() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["cerverus"]);
    let run = |item: &str, date: &str| {
        project.cauce(&["run", "symbols.yaml", "--item", item, "--logical-date", date]).exits(0);
        project.show("symbols")
    };
    // A day of the one that is checked after each closing, a moment of the one that is checked all the time.
    assert_eq!(run("SP500", "2018-12-31")["run_id"], "SP500-2018-12-31");
    verify(&project, "SP500", "2018-12-31");
    let crisis = run("SP500.2008", "2009-06-30T15:00:00Z");
    assert_eq!(crisis["run_id"], "SP500.2008-2009-06-30T1500Z");
    assert_eq!(crisis["tasks"]["quality"]["output"]["passed"], true);
    verify(&project, "SP500.2008", "2009-06-30");
    let flagged = project.read(&format!("{LAKE}/quality/prices/SP500.2008/dt=2009-06-30/flagged.json"));
    let october: Vec<&str> = ["2008-10-09", "2008-10-13", "2008-10-15", "2008-10-28"].into();
    assert!(october.iter().all(|day| flagged.contains(day)), "{flagged}");
    assert_eq!(flagged.matches("\"2008-10-").count(), october.len());
    // The same run once more is its next generation, for the same item.
    project
        .cauce(&["run", "symbols.yaml", "--item", "SP500", "--logical-date", "2018-12-31"])
        .exits(0)
        .says("generation 2");
    let runs = project.cauce(&["runs", "--item", "SP500", "--json"]).exits(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");

    project.cauce(&["run", "symbols.yaml"]).exits(2).says("none is named");
    project.cauce(&["run", "symbols.yaml", "--item", "SP50"]).exits(2).says("did you mean 'SP500'?");
}

#[test]
fn spoiled_prices_are_refused_and_never_reach_the_curated_table() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["cerverus"]);
    let Some((true, spoiled)) = python(&project, &["verify/spoil.py", "7", "60", "data/sp500.csv.gz"]) else {
        return;
    };
    project.write("data/sp500.csv.gz", spoiled);
    let day = "2018-12-28";
    project.cauce(&["run", "symbols.yaml", "--item", "SP500", "--logical-date", day]).exits(1);
    let run = project.show("symbols");
    let status = |task: &str| run["tasks"][task]["status"].as_str().unwrap();
    assert_eq!(
        ["quality", "score", "reject", "curate"].map(status),
        ["success", "success", "failed", "skipped"]
    );
    verify(&project, "SP500", day);
    assert!(!project.path(&format!("{LAKE}/curated")).exists(), "nothing bad goes on");
    assert!(project.path(&format!("{LAKE}/quality/scores/_delta_log")).is_dir(), "its score is stored");
    assert!(project.read(".cauce/alerts.jsonl").contains("SP500 2018-12-28: score"));
}

#[test]
fn a_changed_list_is_synchronised_without_a_new_version() {
    let project = Project::copy_of(&["cerverus"]);
    let version = |project: &Project| {
        let checked = project.cauce(&["check", "symbols.yaml", "--json"]).exits(0).json();
        checked["files"][0]["version"].as_str().unwrap().to_owned()
    };
    let before = version(&project);
    let dry = project.cauce(&["sync", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(dry[0]["added"].as_array().unwrap().len(), 3, "{dry}");
    project.cauce(&["sync", "--dry-run"]).exits(0).shows("PIPELINE");
    project.cauce(&["sync", "symbols"]).exits(0).says("3 added, 0 changed, 0 removed");
    project.cauce(&["sync"]).exits(0).says("nothing differs");
    let list = project.read("symbols.csv").replace("NASDAQ,", "COMP,").replace("low,5,", "medium,6,");
    project.write("symbols.csv", list);
    let changed = project.cauce(&["sync", "--json"]).exits(0).json();
    assert_eq!(changed[0]["added"][0], "COMP");
    assert_eq!(changed[0]["removed"][0], "NASDAQ");
    assert_eq!(changed[0]["changed"][0]["item"], "SP500");
    assert_eq!(changed[0]["changed"][0]["columns"], serde_json::json!(["risk", "outlier"]));
    assert_eq!(version(&project), before);
    let audit = project.cauce(&["audit", "--json"]).exits(0).data;
    assert!(audit.contains("\"sync\""), "{audit}");
}

#[test]
fn the_calendar_closes_on_every_day_without_prices_and_early_where_little_was_traded() {
    let project = Project::copy_of(&["cerverus"]);
    let Some((good, told)) = python(&project, &["verify/calendar.py", "--check"]) else { return };
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(good, "{told}");
    // In either index.
    for words in ["185 working days without prices, 0 of", "45 days that ended early, on 0 of"] {
        assert_eq!(told.matches(words).count(), 2, "{told}");
    }
    // The oracle can tell: a holiday too many, and a day that ended at its hour.
    let rules = project.read("verify/calendar.py");
    for (rule, wrong, words) in [
        ("year >= 2022", "year >= 2018", "prices, 1 of them not by the rules"),
        ("date(2003, 12, 26)", "date(2003, 12, 18)", "ended early, on 1 of them no less was traded"),
    ] {
        project.write("verify/calendar.py", rules.replace(rule, wrong));
        let (good, told) = python(&project, &["verify/calendar.py", "--check"]).unwrap();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!good && told.contains(words), "{told}");
    }
    // The day after Thanksgiving ends early, Christmas is no day at all, and so in the year announced last.
    for (from, wanted) in [
        ("2026-11-25", ["2026-11-25T21:30", "2026-11-27T18:30", "2026-11-30T21:30"]),
        ("2028-07-03", ["2028-07-03T17:30", "2028-07-05T20:30", "2028-07-06T20:30"]),
    ] {
        let next = ["schedule", "symbols.yaml", "--item", "SP500", "--next", "3", "--from", from, "--json"];
        let ticks = project.cauce(&next).exits(0).json();
        let ticks: Vec<&str> =
            ticks.as_array().unwrap().iter().map(|tick| tick["tick_at"].as_str().unwrap()).collect();
        assert!(ticks.iter().zip(wanted).all(|(tick, wanted)| tick.starts_with(wanted)), "{ticks:?}");
    }
    assert!(fs::metadata(project.path("calendars/nyse.txt")).is_ok());
}
