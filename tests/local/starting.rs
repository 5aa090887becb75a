//! What starts runs in `cauce up`: datasets that other pipelines update, deliveries with a marker, files of items.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Project, Started};
use crate::up::ready;

/// A day's prices, from a file or by hand.
const LOADS: &str = r#"
pipeline: loads
triggers:
  - file: {bucket: drop, keys: ["in/{date:date}.csv"], logical_date: "{date}"}
tasks:
  load: {container: {image: host, command: ["true"]}, writes: [curated/prices]}
"#;

/// A run for each day of them.
const REPORTS: &str = r#"
pipeline: reports
triggers:
  - dataset: {any: [curated/prices], partitioned_by: day}
tasks:
  report: {container: {image: host, command: [sh, -c, "echo $0 >> reported", "{{ ds }} {{ trigger.partition }} {{ trigger.events[0].dataset }}#{{ trigger.events[0].number }} {{ trigger.events[0].run }}"]}}
"#;

/// One run for what has come; it tells of what, and waits for a word.
const GATHERS: &str = r#"
pipeline: gathers
triggers:
  - dataset: {any: [curated/prices]}
tasks:
  gather: {container: {image: host, command: [sh, -c, "echo $0 > told; read word < hold", "{{ trigger.events | map(attribute='number') | join(' ') }}"]}}
"#;

/// Waits until the service has said all of these, in whatever order.
fn hears_all(service: &mut Started, words: &[String]) {
    let mut heard = Vec::new();
    for words in words {
        if !heard.iter().any(|line: &String| line.contains(words)) {
            heard.extend(service.hears(words));
        }
    }
}

/// What became of the events of a pipeline, oldest first.
fn events(project: &Project, pipeline: &str) -> Vec<Value> {
    let told = project.cauce(&["triggers", "--pipeline", pipeline, "--json"]).exits(0).json();
    let mut events = told["events"].as_array().unwrap().clone();
    events.reverse();
    events
}

#[test]
fn what_a_run_has_written_starts_the_runs_of_those_who_read_it() {
    let project = Project::new();
    for (file, text) in [("loads.yaml", LOADS), ("reports.yaml", REPORTS), ("gathers.yaml", GATHERS)] {
        project.write(file, text);
    }
    let (told, hold) = (project.fifo("told"), project.fifo("hold"));
    let mut service = ready(&project);
    // A file, then two days by another process.
    project.write(".cauce/objects/drop/in/1997-01-05.csv", "1");
    service.hears("reports/1997-01-05 success");
    assert_eq!(told.hear(), "1");
    for (number, day) in [(2, "1997-01-07"), (3, "1997-01-06")] {
        project.cauce(&["trigger", "loads", "--logical-date", day, "--wait"]).exits(0);
        let update = format!("gathers: update {number} of curated/prices: waiting");
        hears_all(&mut service, &[format!("reports/{day} success"), update]);
    }
    let lines = [
        "1997-01-05 1997-01-05 curated/prices#1 loads/1997-01-05",
        "1997-01-07 1997-01-07 curated/prices#2 loads/1997-01-07",
        "1997-01-06 1997-01-06 curated/prices#3 loads/1997-01-06",
    ];
    assert_eq!(project.lines("reported"), lines);
    // What came while its run was under way is one run more.
    project.cauce(&["why", "gathers"]).exits(0).shows("its run starts once nothing bars the way");
    let prices = project.cauce(&["datasets", "curated/prices", "--json"]).exits(0).json();
    let waiting = |consumer: usize| &prices["consumers"][consumer]["waiting"];
    assert_eq!(waiting(0)[0]["updates"]["curated/prices"]["numbers"], json!([[2, 3]]), "{prices}");
    assert_eq!(waiting(1), &json!([]), "{prices}");
    let of_all = &prices["datasets"][0];
    assert_eq!((&of_all["producers"], &of_all["told"]), (&json!(["loads.load"]), &json!(3)));
    assert_eq!(of_all["consumers"], json!(["gathers", "reports"]));
    assert_eq!(of_all["last_update"]["run"], "loads/1997-01-06");
    hold.say("go");
    assert_eq!(told.hear(), "2 3");
    hold.say("go");
    service.hears("gathers/");
    service.hears(" success");

    let run = project.show("reports");
    assert_eq!((&run["run_id"], &run["trigger"]), (&json!("1997-01-06"), &json!("dataset")));
    assert_eq!(run["triggered_by"], "curated/prices#3");
    for (event, (number, day)) in
        events(&project, "reports").iter().zip([(1, "1997-01-05"), (2, "1997-01-07"), (3, "1997-01-06")])
    {
        let update = json!({"dataset": "curated/prices", "number": number, "partition": day});
        assert_eq!((&event["event"], &event["became"]), (&update, &json!("run")), "{event}");
        assert_eq!(event["run"], format!("reports/{day}"));
    }
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

/// A day's folder, whose files are all there once `_SUCCESS` is.
const DELIVERED: &str = r#"
pipeline: d
triggers:
  - file: {bucket: drop, keys: ["in/{day:date}/{part}.csv"], marker: "in/{day:date}/_SUCCESS", settle: 1s,
           logical_date: "{day}"}
tasks:
  note: {container: {image: host, command: [sh, -c, "echo $0 >> seen", "{{ ds }} {{ trigger.marker.key }} {{ trigger.events | map(attribute='key') | sort | join(' ') }}"]}}
"#;

/// What a run of such a delivery has seen: its day, its marker, its files.
fn delivery(day: &str, parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("in/{day}/{part}.csv")).collect();
    format!("{day} in/{day}/_SUCCESS {}", parts.join(" "))
}

fn put(project: &Project, key: &str) {
    project.write(&format!(".cauce/objects/drop/{key}"), key);
}

#[test]
fn a_delivery_is_one_run_once_its_marker_is_there() {
    let project = Project::of(DELIVERED);
    let mut service = ready(&project);
    for file in ["1997-01-05/a.csv", "1997-01-05/b.csv", "1997-01-06/x.csv", "1997-01-05/c.csv"] {
        put(&project, &format!("in/{file}"));
        service.hears(&format!("in/{file}: waiting (missing: in/{{day:date}}/_SUCCESS)"));
    }
    put(&project, "in/1997-01-05/_SUCCESS");
    service.hears("d/1997-01-05 success");
    assert_eq!(project.lines("seen"), [delivery("1997-01-05", &["a", "b", "c"])]);
    // Of another content, it is delivered anew: what is new, with the marker that says so.
    project.write(".cauce/objects/drop/in/1997-01-05/b.csv", "corrected");
    service.hears("in/1997-01-05/b.csv: waiting (missing: in/{day:date}/_SUCCESS)");
    project.write(".cauce/objects/drop/in/1997-01-05/_SUCCESS", "corrected");
    service.hears("d/1997-01-05 success");
    assert_eq!(project.lines("seen")[1..], [delivery("1997-01-05", &["b"])]);
    assert_eq!(project.show("d")["generation"], 2);
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

#[test]
fn a_delivery_that_lay_there_before_its_pipeline_is_found_whole() {
    const OTHER: &str =
        "pipeline: o\ntriggers: [{file: {bucket: drop, keys: [other]}}]\ntasks: {t: {pass: {}}}\n";
    let project = Project::of(OTHER);
    let files = [
        "1997-01-05/a.csv",
        "1997-01-05/b.csv",
        "1997-01-05/c.csv",
        "1997-01-05/_SUCCESS",
        "1997-01-06/x.csv",
    ];
    for file in files {
        put(&project, &format!("in/{file}"));
    }
    // Written last, so that whoever tells of it has seen the others, and nobody wanted them.
    put(&project, "other");
    let mut service = ready(&project);
    service.hears("other: run");
    // The bucket is watched already: nobody looks through it again for the newcomer.
    project.write("d.yaml", DELIVERED);
    service.hears("d: deployed");
    assert_eq!(events(&project, "d"), [Value::Null; 0]);
    project.cauce(&["triggers", "scan", "d", "--dry-run"]).exits(0).says("5 found");
    project.cauce(&["triggers", "scan", "d"]).exits(0).says("5 waiting");
    service.hears("d/1997-01-05 success");
    // The day without a marker goes on waiting for it.
    put(&project, "in/1997-01-06/_SUCCESS");
    service.hears("d/1997-01-06 success");
    let all = [delivery("1997-01-05", &["a", "b", "c"]), delivery("1997-01-06", &["x"])];
    assert_eq!(project.lines("seen"), all);
    project.cauce(&["triggers", "scan", "d"]).exits(0).says("d: 6 duplicate");
    project.cauce(&["pause", "d"]).exits(0);
    put(&project, "in/1997-01-07/y.csv");
    service.hears("in/1997-01-07/y.csv: paused");
    project.cauce(&["triggers", "scan", "d"]).exits(0).says("d: 6 duplicate, 1 paused");
    project.cauce(&["unpause", "d"]).exits(0);
    project.cauce(&["triggers", "scan", "d"]).exits(0).says("d: 6 duplicate, 1 waiting");
    service.signal(Signal::TERM);
    service.answer().exits(0);
    // To look takes nobody who runs what is found; all else does.
    project.cauce(&["triggers", "scan", "d", "--dry-run"]).exits(0).says("7 found");
    project.cauce(&["triggers", "scan", "d"]).exits(2).says("no 'cauce up' runs on");
}

/// A run for each file of prices, of the item that the file is of.
const PRICED: &str = r#"
pipeline: m
matrix: {as: symbol, from: symbols.csv, key: ticker}
triggers:
  - file: {bucket: drop, keys: ["prices/{ticker}.csv"], item: "{ticker}"}
tasks:
  note: {container: {image: host, command: [sh, -c, "echo $0 >> seen", "{{ symbol.ticker }} {{ symbol.name }} {{ trigger.events[0].key }}"]}}
"#;

#[test]
fn a_file_of_an_item_is_its_run_and_one_of_no_item_is_none() {
    let project = Project::of(PRICED);
    project.write("symbols.csv", "ticker,name\nAAPL,Apple\nBRK.B,Berkshire\n");
    let mut service = ready(&project);
    for (key, became) in [
        ("prices/BRK.B.csv", "run m/BRK.B-file-"),
        ("prices/ZZZ.csv", "rejected (the list of m has no item 'ZZZ')"),
        ("prices/A B.csv", "rejected ('A B' cannot be the key of an item)"),
        ("prices/AAPL.csv", "run m/AAPL-file-"),
    ] {
        put(&project, key);
        let told = service.hears(&format!("{key}: ")).pop().unwrap();
        assert!(told.contains(became), "{told}");
        if became.starts_with("run") {
            service.hears(" success");
        }
    }
    assert_eq!(project.lines("seen"), ["BRK.B Berkshire prices/BRK.B.csv", "AAPL Apple prices/AAPL.csv"]);
    let rejected = project.cauce(&["triggers", "--became", "rejected", "--json"]).exits(0).json();
    assert_eq!(rejected["events"].as_array().unwrap().len(), 2, "{rejected}");
    let runs = project.cauce(&["runs", "--item", "BRK.B", "--json"]).exits(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    service.signal(Signal::TERM);
    service.answer().exits(0);
}
