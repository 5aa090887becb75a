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
