//! What people ask of a pipeline: rehearsals, reports, reasons, runs again, and what is paused by itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use crate::harness::{DAY, Project};
use serde_json::{Value, json};

/// Every file below a folder with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.display().to_string(), fs::read(&path).unwrap())),
            }
        }
    }
    found
}

/// A pipeline that has an effect of every kind: files, notices, calls, questions, runs, datasets, pools, locks.
fn effects(url: &str) -> Project {
    let project = Project::of(&format!(
        r#"
pipeline: p
schedule: "0 6 * * *"
max_active_tasks: 2
notify: {{success: [mail], failed: [mail], deadline: [mail]}}
deadline: {{after: 1h, from: started}}
tasks:
  write:
    container: {{image: host, command: [sh, -c, "echo ran >> ran"]}}
    pools: {{sftp: 1}}
    lock: "lock-{{{{ ds }}}}"
    writes: [sales]
  each: {{map: {{over: [1, 2]}}, container: {{image: host, command: [sh, -c, "echo item >> ran"]}}}}
  ask: {{approval: {{message: go on?, notify: [mail]}}}}
  tell: {{needs: [ask], notify: {{channels: [mail], subject: it goes on, message: on}}}}
  call: {{http: {{url: "{url}"}}}}
  start: {{pipeline: {{name: q}}}}
  last: {{needs: [write, each, tell, call, start], container: {{image: host, command: [sh, -c, "echo last >> ran"]}}}}
"#
    ));
    project.write(
        "cauce.yaml",
        "images:\n  host: {local: []}\nchannels:\n  mail: {file: {path: mail.jsonl}}\npools: {sftp: 1}\n",
    );
    project.write("q.yaml", "pipeline: q\ntasks:\n  a: {container: {image: host, command: [touch, ran]}}\n");
    let reads = "pipeline: r\ntriggers:\n  - dataset: {any: [sales]}\ntasks:\n  a: {pass: {}}\n";
    project.write("r.yaml", reads);
    project
}

#[test]
fn a_dry_run_has_no_effect_of_any_kind_and_tells_each_decision() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let project = effects(&format!("http://{}/", listener.local_addr().unwrap()));
    // In a folder in which nothing has run, and in one with a store that could be written to.
    for has_store in [false, true] {
        if has_store {
            project.cauce(&["run", "q.yaml"]).exits(0);
            fs::remove_file(project.path("ran")).unwrap();
        }
        let before = files(&project.path("."));
        let dry = project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--dry-run"]);
        let dry = dry.exits(0).says("the run would end success; nothing was started");
        let after = files(&project.path("."));
        let changed: Vec<&String> = after
            .keys()
            .chain(before.keys())
            .filter(|path| after.get(*path) != before.get(*path))
            // The store's own bookkeeping of who reads it.
            .filter(|path| !path.ends_with("-shm") && !path.ends_with("-wal"))
            .collect();
        assert!(changed.is_empty(), "{changed:?}");
        assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        for told in
            ["start write: sh -c", "expand each: 2 items", "start last: sh -c", "notify mail: it goes on"]
        {
            assert!(dry.data.contains(told), "no '{told}' in:\n{}", dry.data);
        }
        for task in ["write", "each", "ask", "tell", "call", "start", "last"] {
            assert!(dry.data.contains(&format!("success {task}")), "no end of {task} in:\n{}", dry.data);
        }
        assert!(dry.data.contains("update sales"), "{}", dry.data);
    }
    let runs = project.cauce(&["runs", "--json"]).exits(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    let audit = project.cauce(&["audit", "--json"]).exits(0).data;
    assert!(!audit.contains("p/2026"), "{audit}");
}

#[test]
fn a_rehearsed_backfill_tells_its_runs_and_their_price_and_starts_none() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  a: {container: {image: host, command: [touch, ran]}}\n",
    );
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-06"]).exits(0);
    fs::remove_file(project.path("ran")).unwrap();
    let range = ["backfill", "p.yaml", "--from", DAY, "--to", "2026-01-08", "--dry-run"];
    project.cauce(&range).exits(0).shows("DATA FROM");
    let dry = project.cauce(&range).exits(0);
    assert_eq!(dry.data.matches("p/2026-01-0").count(), 4, "{}", dry.data);
    assert!(dry.data.contains("kept"), "what has succeeded is kept: {}", dry.data);
    let dry = dry.says("3 of them would run: on AWS about");
    assert!(
        dry.talk.contains("USD of orchestration each") && dry.talk.contains("USD in all"),
        "{}",
        dry.talk
    );
    assert!(!project.path("ran").exists());
    let runs = project.cauce(&["runs", "--json"]).exits(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
}

#[test]
fn a_rerun_on_the_newest_version_has_its_parameters() {
    let pipeline = |params: &str, text: &str, code: u8| {
        format!(
            "pipeline: p\nschedule: \"0 6 * * *\"\nparams: {{{params}}}\ntasks:\n  a: {{container: {{image: host, \
             command: [sh, -c, \"echo {text} >> ran; exit {code}\"]}}}}\n"
        )
    };
    let old = "gone: {type: integer, default: 1}, kept: {type: integer, default: 5}";
    let project = Project::of(&pipeline(old, "{{ params.gone }}", 1));
    project.run().exits(1);
    let new = "kept: {type: integer, default: 7}, new: {type: integer, default: 3}";
    project.write("p.yaml", pipeline(new, "{{ params.kept }} {{ params.new }}", 0));
    project.cauce(&["rerun", "p/@latest", "--latest-version"]).exits(0);
    assert_eq!(project.lines("ran"), ["1", "5 3"]);
    let must =
        "kept: {type: integer, maximum: 4}, new: {type: integer}, must: {type: integer, required: true}";
    project.write("p.yaml", pipeline(must, "never", 0));
    let refused = project.cauce(&["rerun", "p/@latest", "--latest-version", "--task", "a"]);
    refused.exits(2).says("`must`: a value is required").says("`kept`: ");
    assert_eq!(project.lines("ran").len(), 2);
}

#[test]
fn the_items_that_are_shown_are_those_of_the_list_as_it_is() {
    let pipeline = |list: &str| {
        format!(
            "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  each: {{map: {{over: {list}}}, container: {{image: host, command: \
             [sh, -c, \"echo $CAUCE_INDEX >> ran; test $CAUCE_INDEX != 3\"]}}}}\n"
        )
    };
    let project = Project::of(&pipeline("[a, b, c, d]"));
    project.run().exits(1);
    project.write("p.yaml", pipeline("[x, y]"));
    project.run().exits(0).shows("2 of 2 items succeeded");
    let shown = project.cauce(&["show", "p/@latest"]).exits(0).shows("2 of 2 items succeeded");
    assert!(!shown.data.contains("each[3]"), "{}", shown.data);
    assert_eq!(project.lines("ran").len(), 6);
    // The list of the rerun is not the one whose items were named.
    project.write("p.yaml", pipeline("[x]"));
    let gone = project.cauce(&["rerun", "p/@latest", "--latest-version", "--task", "each", "--item", "1"]);
    gone.exits(1).says("map.over has no item 1, which was to run again: it has 1");
    assert_eq!(project.lines("ran").len(), 6);
}

#[test]
fn one_item_of_a_mapped_task_runs_again_alone() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  each:
    map: {over: [a, b, c], max_concurrency: 1}
    container: {image: host, command: [sh, -c, 'echo $CAUCE_INDEX >> ran; test $CAUCE_INDEX = 0 || test -e mended']}
  below: {needs: [each], container: {image: host, command: [sh, -c, 'echo below >> ran']}}
"#,
    );
    project.run().exits(1);
    assert_eq!(project.lines("ran"), ["0", "1", "2"]);
    project.cauce(&["rerun", "p/@latest", "--item", "1"]).exits(2).says("--task");
    project.cauce(&["rerun", "p/@latest", "--task", "each", "--item", "-1"]).exits(2);
    project.cauce(&["rerun", "p/@latest", "--only", "each", "--item", "1"]).exits(2).says("--only");
    let beyond = project.cauce(&["rerun", "p/@latest", "--task", "each", "--item", "1,3"]);
    beyond.exits(2).says("each has no item 3: it has 3, counted from 0");
    let whole = project.cauce(&["rerun", "p/@latest", "--task", "below", "--item", "0"]);
    whole.exits(2).says("below has no items: it is not mapped");
    assert_eq!(project.show("p")["generation"], 1);
    project.write("mended", "");
    // The third failed too, and stays so: what is below does not run.
    project.cauce(&["rerun", "p/@latest", "--task", "each", "--item", "1", "--downstream"]).exits(1);
    assert_eq!(project.lines("ran"), ["0", "1", "2", "1"]);
    project.cauce(&["rerun", "p/@latest", "--task", "each", "--item", "2", "--downstream"]).exits(0);
    assert_eq!(project.lines("ran"), ["0", "1", "2", "1", "2", "below"]);
    project.cauce(&["rerun", "p/@latest", "--task", "each", "--item", "0,1"]).exits(0);
    assert_eq!(project.lines("ran")[6..], ["0", "1"]);
}

#[test]
fn a_rerun_takes_the_version_of_its_run_and_the_newest_one_where_that_is_asked() {
    let pipeline = |word: &str, code: u8| {
        format!(
            "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  a: {{container: {{image: host, command: [sh, -c, \
             \"echo {word} >> ran; exit {code}\"]}}}}\n"
        )
    };
    let project = Project::of(&pipeline("old", 1));
    project.run().exits(1);
    let first = project.show("p");
    project.write("p.yaml", pipeline("new", 0));
    project.cauce(&["rerun", "p/@latest"]).exits(1);
    let pinned = project.show("p");
    assert_eq!((&pinned["version"], &pinned["generation"]), (&first["version"], &json!(2)));
    project.cauce(&["rerun", "p/@latest", "--latest-version"]).exits(0);
    let newest = project.show("p");
    assert_ne!(newest["version"], first["version"]);
    assert_eq!((&newest["generation"], &newest["status"]), (&json!(3), &json!("success")));
    assert_eq!(project.lines("ran"), ["old", "old", "new"]);
}

#[test]
fn failed_runs_in_a_row_pause_their_pipeline_and_everything_says_why() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
max_consecutive_failed_runs: 2
notify: {failed: [mail]}
tasks:
  a: {container: {image: host, command: ["false"]}}
"#,
    );
    project
        .write("cauce.yaml", "images:\n  host: {local: []}\nchannels:\n  mail: {file: {path: mail.jsonl}}\n");
    project.run().exits(1);
    project.cauce(&["why", "p"]).exits(0).shows("p is not paused").shows("1 of 2 runs in a row have failed");
    project.cauce(&["rerun", "p/@latest"]).exits(1);
    assert_eq!(project.cauce(&["list", "--json"]).exits(0).json()["pipelines"][0]["paused"], false);
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-06"]).exits(1);
    let because = "2 runs in a row failed (2026-01-05, 2026-01-06)";
    let list = project.cauce(&["list"]).exits(0).shows("paused");
    let _ = list.says(&format!("p is paused: {because}; cauce unpause p"));
    let why = project.cauce(&["why", "p"]).exits(0).shows("p is paused: its triggers start nothing");
    let _ = why.shows(because).shows("'cauce unpause p' lets it go on");
    let mail: Vec<Value> =
        project.lines("mail.jsonl").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<&Value> = mail.iter().filter(|notice| notice["event"] == "paused").collect();
    assert_eq!((told.len(), &told[0]["subject"]), (1, &json!(format!("p: paused, {because}"))));
    project.cauce(&["audit"]).exits(0).shows("max_consecutive_failed_runs");
    // Runs that people start are not held back, and pausing is over when somebody says so.
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-07"]).exits(1);
    project.cauce(&["unpause", "p"]).exits(0);
    let list = project.cauce(&["list", "--json"]).exits(0).json();
    assert_eq!(
        (&list["pipelines"][0]["paused"], &list["pipelines"][0]["paused_because"]),
        (&json!(false), &Value::Null)
    );
    project.cauce(&["why", "p"]).exits(0).shows("p is not paused").shows("its next tick is at");
}

const WAITING: &str = r#"
pipeline: p
schedule: "0 6 * * *"
max_active_runs: 1
deadline: {after: 2h, from: started, action: cancel}
tasks:
  hold:
    container: {image: host, command: [sh, -c, "echo ready > ready; read word < hold"]}
    pools: {sftp: 1}
    priority: 9
  in_line: {container: {image: host, command: ["true"]}, pools: {sftp: 1}}
  items: {map: {over: [1, 2, 3]}, container: {image: host, command: ["true"]}, pools: {sftp: 1}}
  below: {needs: [hold, instead], container: {image: host, command: ["true"]}}
  aside: {container: {image: host, command: ["true"]}}
  gated: {needs: [hold, instead, aside], container: {image: host, command: ["true"]}}
  beside: {needs: [aside], container: {image: host, command: ["true"]}}
  again: {container: {image: host, command: ["false"]}, retry: {retries: 3, delay: 1h, max_duration: 5h}}
  file: {wait_for: {files: ["s3://landing/{{ ds }}.csv"], poll_interval: 1h}}
  instead: {fallback_for: hold, pass: {}}
"#;

#[test]
fn why_names_what_each_waiting_task_waits_for() {
    let project = Project::of(WAITING);
    project.write("cauce.yaml", "images:\n  host: {local: []}\npools: {sftp: 1}\n");
    let (ready, _hold) = (project.fifo("ready"), project.fifo("hold"));
    let first = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let second = project.start(&["run", "p.yaml", "--logical-date", "2026-01-06"]);
    let run = format!("p/{DAY}");
    let told = |run: &str| project.cauce(&["why", run, "--json"]).exits(0).json();
    let why = loop {
        let why = told(&run);
        let is = |task: &str, status: &str| why["tasks"][task]["status"] == status;
        let items = why["tasks"]["items"]["because"].to_string();
        if is("in_line", "queued")
            && is("again", "retrying")
            && is("file", "running")
            && items.contains("items that wait")
            && why["tasks"].get("aside").is_none()
            && why["tasks"].get("beside").is_none()
        {
            break why;
        }
    };
    let says = |task: &str, words: &str| {
        let because = &why["tasks"][task]["because"];
        let lines = because.as_array().unwrap_or_else(|| panic!("nothing about {task}: {why}"));
        let found = lines.iter().any(|line| line.as_str().unwrap().contains(words));
        assert!(found, "no '{words}' about {task}: {because}");
    };
    says("hold", "attempt 1 is under way");
    says("below", "it waits for hold (running), instead (waiting), since 20");
    says("below", "its rule, all_success, is not decided yet");
    says("gated", "it waits for hold (running)");
    says("instead", "it runs only if hold fails");
    says("in_line", "it is in line since");
    says("in_line", "it waits for slots of the pool 'sftp'");
    says("in_line", &format!("1 of 1 slots are taken, by hold of {run}"));
    says("items", "0 of 3 items have ended");
    says("items", "items that wait for slots of the pool 'sftp': 0, 1, 2");
    says("again", "attempt 1 ended with class exit");
    says("again", "the next attempt starts in");
    says("again", "no attempt begins after");
    says("file", "waits for s3://landing/2026-01-05.csv");
    let of_run = why["because"].to_string();
    assert!(of_run.contains("its deadline is 20") && of_run.contains("then it is cancelled"), "{of_run}");

    let queued = loop {
        let shown = project.cauce(&["why", "p/2026-01-06", "--json"]);
        if shown.exit == Some(0) && shown.json()["status"] == "queued" {
            break shown.json()["because"].to_string();
        }
    };
    assert!(queued.contains("p lets 1 run at once (max_active_runs)"), "{queued}");
    assert!(queued.contains(&format!("1 of 1 slots are taken, by {run}")), "{queued}");
    let pipeline = project.cauce(&["why", "p"]).exits(0);
    let _ = pipeline.shows("2 runs under way, of which 1 wait to be let in; it lets in 1 at once");

    project.cauce(&["cancel", "p/2026-01-06"]).exits(0);
    second.answer().exits(1);
    project.cauce(&["cancel", &run]).exits(0);
    first.answer().exits(1);
}

#[test]
fn a_report_tells_where_the_time_went_and_what_stands_out() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  load: {container: {image: host, command: [sh, -c, 'echo "{\"rows\": 500}" > "$CAUCE_OUTPUT_FILE"']}, returns: {rows: integer}}
  flaky: {needs: [load], container: {image: host, command: [sh, -c, 'test "$CAUCE_ATTEMPT" -ge 2']}, retry: {retries: 1, delay: 0s}}
  other: {pass: {}}
  done: {needs: [flaky, other], pass: {}}
"#,
    );
    project.cauce(&["report", "p"]).exits(2).says("no runs yet");
    for day in ["05", "06", "07"] {
        project.cauce(&["run", "p.yaml", "--logical-date", &format!("2026-01-{day}")]).exits(0);
    }
    let report = project.cauce(&["report", "p", "--json"]).exits(0).json();
    assert_eq!((&report["pipeline"], &report["runs"]), (&json!("p"), &json!(3)));
    let load = &report["tasks"]["load"];
    assert_eq!(
        (&load["runs"], &load["attempts"], &load["failure_rate"]),
        (&json!(3), &json!(3), &json!(0.0))
    );
    assert_eq!(load["rows"], 1500.0);
    assert!(load["rows_per_second"].as_f64().unwrap() > 0.0, "{load}");
    let spread = &load["seconds"];
    assert!(spread["p50"].as_f64() <= spread["p95"].as_f64(), "{spread}");
    assert!(load["usd"].as_f64().unwrap() > 0.0, "{load}");
    let flaky = &report["tasks"]["flaky"];
    assert_eq!((&flaky["attempts"], &flaky["failed_attempts"]), (&json!(6), &json!(3)));
    let finding = &report["findings"][0];
    assert_eq!((&finding["task"], &finding["kind"]), (&json!("flaky"), &json!("failures")));
    let table = project.cauce(&["report", "p"]).exits(0).says("3 runs of p");
    let _ = table.shows("ROWS/S").shows("flaky: fails: 50.0% of its attempts, more than 5.0%");
    assert_eq!(project.cauce(&["report", "p", "--last", "2", "--json"]).exits(0).json()["runs"], 2);
    project.cauce(&["report", "p", "--since", "2100-01-01"]).exits(2).says("no");
    project.cauce(&["report", "q"]).exits(2).says("it has no runs");
    project.cauce(&["report", "p", "--last", "0"]).exits(2);

    let one = project.cauce(&["report", "p", "2026-01-06", "--json"]).exits(0).json();
    assert_eq!(one["critical_path"], json!(["load", "flaky", "done"]));
    let flaky = &one["tasks"]["flaky"];
    assert_eq!((&flaky["critical"], &flaky["attempts"][0]["class"]), (&json!(true), &json!("exit")));
    assert_eq!(one["tasks"]["other"]["critical"], false);
    let told = project.cauce(&["report", "p", "@latest"]).exits(0);
    let _ = told.says("critical path: load -> flaky -> done").says("p/2026-01-07 is success");
    project.cauce(&["report", "p", "q/2026-01-06"]).exits(2).says("is no run of 'p'");
}

#[test]
fn a_rerun_of_a_run_of_one_task_runs_what_did_not_run_because_of_it() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  first: {container: {image: host, command: [sh, -c, "echo first >> ran"]}}
  other: {container: {image: host, command: [sh, -c, "echo other >> ran"]}}
  never: {if: "{{ params.x }}", container: {image: host, command: [sh, -c, "echo never >> ran"]}}
  last: {needs: [first], container: {image: host, command: [sh, -c, "echo last >> ran"]}}
params: {x: {type: boolean, default: false}}
"#,
    );
    project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--only", "other"]).exits(0);
    assert_eq!(project.lines("ran"), ["other"]);
    project.cauce(&["rerun", &format!("p/{DAY}")]).exits(0);
    let mut ran = project.lines("ran");
    assert_eq!(ran.iter().filter(|task| *task != "other").collect::<Vec<_>>(), ["first", "last"]);
    assert_eq!(ran.len(), 3, "other has run, and is kept");
    // What its own condition skipped stays so, also where another one ran alone beside it.
    project.cauce(&["rerun", &format!("p/{DAY}"), "--only", "other"]).exits(0);
    project.cauce(&["rerun", &format!("p/{DAY}")]).exits(0);
    ran = project.lines("ran");
    assert_eq!(ran[3..], ["other"]);
}

#[test]
fn what_did_not_run_because_of_one_task_is_known_after_a_rerun_of_another() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  first: {container: {image: host, command: [sh, -c, "echo first >> ran"]}}
  second: {container: {image: host, command: [sh, -c, "echo second >> ran"]}}
  third: {container: {image: host, command: [sh, -c, "echo third >> ran"]}}
  never: {if: "{{ false }}", container: {image: host, command: [sh, -c, "echo never >> ran"]}}
"#,
    );
    project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--only", "first"]).exits(0);
    project.cauce(&["rerun", &format!("p/{DAY}"), "--task", "second"]).exits(0);
    assert_eq!(project.lines("ran"), ["first", "second"]);
    project.cauce(&["rerun", &format!("p/{DAY}")]).exits(0);
    assert_eq!(project.lines("ran"), ["first", "second", "third"]);
    // What its own condition has skipped since is not run again.
    project.cauce(&["rerun", &format!("p/{DAY}")]).exits(0);
    assert_eq!(project.lines("ran").len(), 3);
}

#[test]
fn the_critical_path_of_a_run_of_one_task_is_that_task() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  first: {container: {image: host, command: [sh, -c, "true"]}}
  only: {needs: [first], container: {image: host, command: [sh, -c, "true"]}}
  last: {needs: [only], container: {image: host, command: [sh, -c, "true"]}}
"#,
    );
    project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--only", "only"]).exits(0);
    let told = project.cauce(&["report", "p", DAY, "--json"]).exits(0);
    assert_eq!(told.json()["critical_path"], json!(["only"]));
}

#[test]
fn a_mark_keeps_when_the_task_ended() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  broken: {container: {image: host, command: ["false"]}, retry: {retries: 0}}
"#,
    );
    project.run().exits(1);
    let ended_at = || project.show("p")["tasks"]["broken"]["ended_at"].clone();
    let before = ended_at();
    assert!(before.is_string(), "{before}");
    project.cauce(&["mark", &format!("p/{DAY}"), "broken", "success"]).exits(0);
    let shown = project.show("p");
    assert_eq!(shown["tasks"]["broken"]["status"], "success");
    assert_eq!(ended_at(), before);
}
