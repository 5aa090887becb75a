//! Commands about files: init, check, build, graph, schema, schedule, explain, and bad input.

use std::io::Read;
use std::process::Stdio;

use super::{Answer, Project};

const TWO_TASKS: &str = "\
pipeline: small
tasks:
  first: {container: {image: host, command: [printf, one]}}
  second: {needs: [first], pass: {}}
";

#[test]
fn a_new_project_passes_its_checks_and_runs_at_once() {
    let project = Project::new();
    project.cauce(&["init", "hello"]).exits(0).says("cauce run hello/pipelines/hello.yaml");
    project.cauce(&["check", "hello"]).exits(0).shows("hello/pipelines/hello.yaml: hello, 6 tasks");
    project
        .cauce(&["run", "hello/pipelines/hello.yaml", "--logical-date", "2026-01-05"])
        .exits(0)
        .shows("greet");
    project
        .cauce(&["logs", "hello/@latest", "greet", "--item", "1", "--state-dir", "hello/.cauce"])
        .exits(0)
        .shows("hello, Quito! It is 2026-01-05.");
    let left: Vec<String> =
        ["terraform/main.tf", "terraform/dev.tfvars", ".github/actions/cauce/action.yml", "README.md"]
            .into_iter()
            .filter(|file| {
                let text = std::fs::read_to_string(project.path().join("hello").join(file)).unwrap();
                ["{{project}}", "{{name}}", "{{source}}", "{{ref}}", "{{repository}}"]
                    .iter()
                    .any(|mark| text.contains(mark))
            })
            .map(str::to_owned)
            .collect();
    assert!(left.is_empty(), "marks are left in {left:?}");
    project.cauce(&["init", "made", "--source", "https://host.example/team/cauce.git"]).exits(0);
    let main = std::fs::read_to_string(project.path().join("made/terraform/main.tf")).unwrap();
    assert!(
        main.contains("git::https://host.example/team/cauce.git//terraform/modules/network?ref=v"),
        "{main}"
    );
    project.cauce(&["init", "hello"]).exits(2).says("hello/cauce.yaml exists already");
}

#[test]
fn all_errors_of_a_file_are_told_at_once_with_line_and_caret() {
    let project = Project::local();
    project.write("p.yaml", "pipeline: P\ntasks:\n  a: {pass: {}, needs: [b]}\n  c: {pas: {}}\n");
    let answer = project.cauce(&["check", "p.yaml"]).exits(2).shows("failed  p.yaml: ");
    for part in ["error[C106]", "error[C201]", "error[C101]", "p.yaml:3:25", "^"] {
        assert!(answer.talk.contains(part), "no {part} in {}", answer.talk);
    }
    assert!(!answer.talk.contains('\x1b'), "colour without a terminal");
    let answer = project.cauce(&["check", "p.yaml", "--json"]).exits(2);
    assert_eq!(answer.json()["files"][0]["diagnostics"][0]["code"], "C106");
    project.cauce(&["build", "p.yaml"]).exits(2).says("error[C201]");
}

#[test]
fn a_folder_is_checked_whole_with_the_projects_in_it() {
    let project = Project::new();
    project.write("one/cauce.yaml", "images:\n  host: {local: []}\n");
    project.write("one/small.yaml", TWO_TASKS);
    project.write("one/not_one.yaml", "some: settings\n");
    project.write("one/data/hidden.yaml", TWO_TASKS);
    project.write("two/alone.yaml", "pipeline: alone\ntasks:\n  a: {pass: {}}\n");
    let answer = project.cauce(&["check", "."]).exits(0);
    assert_eq!(answer.data.lines().count(), 2, "{}", answer.data);
    project.write("three/cauce.yaml", "imagen: {}\n");
    project.write("three/bad.yaml", TWO_TASKS);
    project.cauce(&["check", "."]).exits(2).says("three/cauce.yaml:1:1").shows("two/alone.yaml: alone");
    project.cauce(&["check", "one/data/none"]).exits(2).shows("failed").says("does not exist");
}

#[test]
fn what_cannot_be_a_pipeline_file_is_told_clearly() {
    let project = Project::local();
    project.cauce(&["run", "absent.yaml"]).exits(2).says("absent.yaml does not exist");
    project.cauce(&["run", "."]).exits(2).says("is a folder, not a file").says("cauce check .");
    project.write("bytes.yaml", b"pipeline: \xff\xfe\n");
    project.cauce(&["check", "bytes.yaml"]).exits(2).says("C002");
    project.write("large.yaml", "# long\n".repeat(1_600_000));
    project.cauce(&["check", "large.yaml"]).exits(2).says("C003");
    project.write("deep.yaml", format!("pipeline: p\ntasks: {}", "[".repeat(100_000)));
    project.cauce(&["check", "deep.yaml"]).exits(2).says("C004");
}

#[test]
fn a_pipeline_started_by_another_has_to_be_in_the_project() {
    let project = Project::local();
    project.write("small.yaml", TWO_TASKS);
    project.write("outer.yaml", "pipeline: outer\ntasks:\n  go: {pipeline: {name: smal}}\n");
    project
        .cauce(&["check", "outer.yaml"])
        .exits(0)
        .says("tasks.go starts the pipeline 'smal'")
        .says("did you mean 'small'?");
}

#[test]
fn a_build_is_the_same_every_time_and_leaves_nothing_stale() {
    let project = Project::local();
    project.write("small.yaml", TWO_TASKS);
    project.cauce(&["build", "small.yaml"]).exits(0).shows("small").says("written to build");
    let read = |name: &str| std::fs::read_to_string(project.path().join("build").join(name)).unwrap();
    let first = read("small/small.asl.json");
    assert!(read("small/plan.json").contains("\"second\""));
    assert!(read("system/container.asl.json").contains("Launch"));
    let stale = project.write("build/small/small-part-7.asl.json", "{}");
    let mine = project.write("build/small/notes.txt", "mine");
    let answer = project.cauce(&["build", ".", "--json"]).exits(0);
    assert_eq!(read("small/small.asl.json"), first);
    assert!(!stale.exists() && mine.exists());
    let manifest: serde_json::Value = serde_json::from_str(&read("small/manifest.json")).unwrap();
    assert_eq!(answer.json()["pipelines"][0]["version"], manifest["version"]);
    project.cauce(&["build", "small.yaml", "small.yaml"]).exits(2).says("define the same pipeline");
    project.cauce(&["build", "small.yaml", "--env", "prod"]).exits(2).says("no environment 'prod'");
}

#[test]
fn a_graph_shows_every_task_and_edge_in_every_format() {
    let project = Project::local();
    project.write(
        "shapes.yaml",
        "pipeline: shapes\ntasks:\n  a: {pass: {output: {xs: [1, 2]}}, returns: {xs: list}}\n  \
         each: {needs: [a], map: {over: \"{{ outputs.a.xs }}\"}, container: {image: host, command: [\"true\"]}}\n  \
         pick: {needs: [each], branch: [{if: \"{{ 1 < 2 }}\", to: end}, {else: other}]}\n  \
         end: {needs: [pick], pass: {}}\n  other: {needs: [pick], pass: {}}\n",
    );
    let mermaid = project.cauce(&["graph", "shapes.yaml"]).exits(0);
    let mermaid =
        mermaid.shows("t_each[[\"each").shows("t_pick{\"pick").shows("t_pick -. \"1 #lt; 2\" .-> t_end");
    assert_eq!(mermaid.data.matches("-->").count(), 2);
    let dot = project.cauce(&["graph", "shapes.yaml", "--format", "dot"]).exits(0);
    dot.shows("\"pick\" -> \"other\" [style=dashed, label=\"else\"]").shows("peripheries=2");
    let svg = project.cauce(&["graph", "shapes.yaml", "--format", "svg"]).exits(0);
    let svg = svg.shows("prefers-color-scheme").shows("1 &lt; 2");
    assert_eq!(svg.data.matches("class=\"name\"").count(), 5);
    assert_eq!(svg.data.matches("class=\"edge\"").count(), 4);
    let json = project.cauce(&["graph", "shapes.yaml", "--json"]).exits(0).json();
    assert_eq!(json["nodes"][1]["shape"], "mapped");
}

#[test]
fn a_page_tells_what_a_file_says() {
    let project = Project::local();
    project.write(
        "told.yaml",
        r#"
pipeline: told
description: Loads what arrives.
owner: data-platform
tags: [daily, sales]
docs: "Ask before you rerun it | really."
schedule: [{cron: "0 2 * * 1-5", timezone: Europe/Madrid, catchup: 3}, {rate: 90m, data_interval: none, catchup: none}]
triggers: [{file: {bucket: drop, keys: ["a_{date:date}.csv", "b_{date:date}.csv"], wait_for: all, logical_date: "{date}"}}]
max_active_tasks: 4
deadline: {after: 2h, action: cancel}
params:
  region: {type: string, enum: [EU, NA], default: EU, description: "Where | which"}
  rows: {type: integer, minimum: 1, maximum: 9, required: true}
tasks:
  load:
    container: {image: host, command: ["true"]}
    docs: "Takes the lock of the **lake**."
    lock: lake
    writes: ["s3://lake/raw"]
    retry: 2
    timeout: 90s
    returns: {rows: integer}
  tell: {needs: [load], trigger_rule: all_done, if: "{{ params.rows > 2 }}", allow_failure: true, pass: {}}
"#,
    );
    let page = project.cauce(&["docs", "told.yaml"]).exits(0);
    for words in [
        "# told\n\nLoads what arrives.\n\nAsk before you rerun it | really.\n\n",
        "| owner | data-platform |",
        "| tags | daily, sales |",
        "| runs | 16 at once, with 4 tasks at once |",
        "| late | 2h after its time, it is cancelled |",
        "- cron `0 2 * * 1-5` in Europe/Madrid, for the time before; of what was missed the newest 3 are made up for",
        "- every 1h30m, for that moment; what was missed stays missed",
        "- a set of files `a_{date:date}.csv`, `b_{date:date}.csv` in the bucket `drop`, for the date `{date}`",
        "| `region` | string | `\"EU\"` | `\"EU\"`, `\"NA\"` | Where \\| which |",
        "| `rows` | integer | required | at least `1`, at most `9` |  |",
        "| `load` | host |  | at once | 3 | 1m30s | rows |",
        "| `tell` | pass, all_done, if, may fail | load | `all_done`, if `{{ params.rows > 2 }}` |",
        "### load\n\nTakes the lock of the **lake**.\n\n- writes `s3://lake/raw`\n- locks `lake`\n",
        "### tell\n\n- may fail without failing the run\n",
        "t_load --> t_tell",
    ] {
        assert!(page.data.contains(words), "no {words:?} in\n{}", page.data);
    }

    project.write("small.yaml", TWO_TASKS);
    project.cauce(&["docs", ".", "--out", "pages"]).exits(0).says("2 pages and index.md written to pages");
    let read = |name: &str| std::fs::read_to_string(project.path().join("pages").join(name)).unwrap();
    assert_eq!(read("told.md"), page.data);
    assert!(read("index.md").contains("| [told](told.md) | Loads what arrives. | data-platform | cron"));
    assert!(read("small.md").contains("- when somebody starts it"));
    project.cauce(&["docs", "told.yaml", "told.yaml"]).exits(2).says("define the same pipeline");
}

#[test]
fn a_canary_is_of_a_deployed_environment() {
    let project = Project::local();
    project.write("small.yaml", TWO_TASKS);
    project.cauce(&["canary", "small", "promote"]).exits(2).says("none is named").says("--env");
    for wrong in ["100", "-1", "1.5", "soon"] {
        project.cauce(&["canary", "small", "--", wrong]).exits(2).says("promote, abort, or a whole number");
    }
    project
        .cauce(&["deploy", "--env", "dev", "--canary", "100"])
        .exits(2)
        .says("a whole number from 0 to 99");
}

#[test]
fn a_schedule_tells_its_ticks_and_their_data() {
    let project = Project::local();
    let zone = "America/Argentina/Buenos_Aires";
    project.write(
        "daily.yaml",
        format!("pipeline: daily\nschedule: {{cron: \"0 9 * * *\", timezone: {zone}}}\ntasks:\n  a: {{pass: {{}}}}\n"),
    );
    let answer = project.cauce(&["schedule", "daily.yaml", "--next", "2", "--from", "2026-03-01", "--json"]);
    let ticks = answer.exits(0).json();
    assert_eq!(ticks[0]["run_id"], "2026-02-28");
    assert_eq!(ticks[0]["tick_at"], "2026-03-01T12:00:00.000000Z");
    assert_eq!(ticks[1]["data_interval_start"], "2026-03-01T12:00:00.000000Z");
    assert_eq!(ticks.as_array().map(Vec::len), Some(2));
    let shown = project.cauce(&["schedule", "daily.yaml", "--next", "1", "--from", "2026-03-01T12:00:00Z"]);
    shown.exits(0).shows("2026-03-01 09:00:00 -03:00  2026-02-28");
    project.cauce(&["schedule", "daily.yaml", "--from", "soon"]).exits(2).says("neither a date nor a moment");
    project.write("never.yaml", TWO_TASKS.replace("small", "never"));
    project.cauce(&["schedule", "never.yaml"]).exits(2).says("never has no schedule");
}

#[test]
fn codes_and_words_are_explained_and_slips_understood() {
    let project = Project::new();
    project.cauce(&["explain", "c204"]).exits(0).shows("# C204: ").shows("How to fix it");
    project.cauce(&["explain", "spot_interruption"]).exits(0).shows("infrastructure budget");
    project.cauce(&["explain", "upstream_failed", "--json"]).exits(0).shows("\"name\": \"upstream_failed\"");
    project.cauce(&["explain", "C2O4"]).exits(2).says("did you mean");
    project.cauce(&["schema", "project"]).exits(0).shows("\"images\"");
    assert!(project.cauce(&["schema"]).exits(0).json()["properties"]["tasks"].is_object());
}

#[test]
fn unknown_and_later_commands_say_what_to_do() {
    let project = Project::new();
    project.cauce(&["chekc", "x"]).exits(2).says("did you mean 'cauce check'?");
    project.cauce(&["asl", "test-state"]).exits(2).says("<REQUEST>");
    project.cauce(&["run"]).exits(2).says("<FILE>");
    project.cauce(&["--help"]).exits(0).shows("backfill");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let project = Project::new();
    let mut child =
        project.command(["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The schema is larger than a pipe, so the program meets the closed end whenever it writes.
    drop(child.stdout.take());
    let mut talk = String::new();
    child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    let answer = Answer { exit: child.wait().unwrap().code().unwrap_or(-1), data: String::new(), talk };
    assert_eq!(answer.exits(0).talk, "");
}

const CHANNELS: &str = "\
project: shop
images: {host: {local: []}}
environments:
  dev: {values: {topic: alerts}}
channels:
  log: stderr
  lines: {file: out/notices.jsonl}
  hook: {http: {url: \"https://x.example/\", headers: {Authorization: \"secret:hook\"}}}
  mail: {email: {from: a@x.example, to: [b@x.example]}}
  topic: {sns: {topic: \"${{ env.topic }}\"}}
  slack: {slack: {webhook: \"secret:slack\"}}
  teams: {teams: {webhook: \"secret:teams\"}}
  bus: {eventbridge: {}}
";

#[test]
fn the_function_that_delivers_reads_the_channels_of_a_build() {
    let project = Project::new();
    project.write("cauce.yaml", CHANNELS);
    project.write("p.yaml", TWO_TASKS);
    project.cauce(&["build", "p.yaml", "--out", "made"]).exits(0);
    let text = std::fs::read_to_string(project.path().join("made/project.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let read: cauce_aws::delivery::Channels = serde_json::from_value(document["channels"].clone()).unwrap();
    for name in ["log", "lines", "hook", "mail", "topic", "slack", "teams", "bus"] {
        let found = read.get(name).unwrap_or_else(|| panic!("no channel {name}"));
        assert_eq!(serde_json::to_value(found).unwrap(), document["channels"][name]);
    }
}

#[test]
fn what_no_machine_can_hold_is_told_with_its_line_and_nothing_is_written() {
    let project = Project::local();
    project.write(
        "wide.yaml",
        "pipeline: wide\ntasks:\n  list: {pass: {output: {parts: [1]}}, returns: {parts: list}}\n  each:\n    \
         needs: [list]\n    map: {over: \"{{ outputs.list.parts }}\", max_items: 50000}\n    \
         container: {image: host, command: [\"true\"]}\n",
    );
    let words =
        "wide.yaml:4: task each is mapped over more items than one state can be given; lower max_items";
    project.cauce(&["check", "wide.yaml"]).exits(2).says(words);
    project.cauce(&["build", "wide.yaml", "--out", "made"]).exits(2).says(words);
    assert!(!project.path().join("made").exists());
}

#[test]
fn channels_that_lead_nowhere_from_here_are_told_and_delivered_to_the_terminal() {
    let project = Project::new();
    project.write("cauce.yaml", CHANNELS);
    project.write(
        "p.yaml",
        "pipeline: p\ntasks:\n  a: {notify: {channels: [mail], subject: done, message: all}}\n",
    );
    project.write("q.yaml", TWO_TASKS);
    let here = project.cauce(&["check", "."]).exits(0);
    for (name, kind) in
        [("mail", "email"), ("topic", "sns"), ("slack", "slack"), ("teams", "teams"), ("bus", "eventbridge")]
    {
        let words = format!("cauce.yaml: channels.{name}: only AWS delivers '{kind}'");
        assert_eq!(here.talk.matches(&words).count(), 1, "{}", here.talk);
    }
    assert_eq!(here.talk.matches("warning:").count(), 5, "{}", here.talk);
    let there = project
        .cauce(&["check", "p.yaml", "--env", "dev"])
        .exits(0)
        .says("channels.lines: only one machine delivers 'file'");
    assert_eq!(there.talk.matches("warning:").count(), 1, "{}", there.talk);
    project
        .cauce(&["run", "p.yaml"])
        .exits(0)
        .says("done")
        .says("only AWS delivers to channel 'mail', which is 'email'");
}

#[test]
fn outcomes_and_durations_of_tasks_that_are_not_there_are_exit_2_and_name_them() {
    let project = Project::new();
    project.write(
        "p.yaml",
        "pipeline: p\ntasks:\n  extract: {pass: {}}\n  load: {needs: [extract], pass: {}}\n",
    );
    project.write("o.json", r#"{"extarct": "failed"}"#);
    for command in [&["simulate", "p.yaml"][..], &["run", "p.yaml", "--dry-run"][..]] {
        let args: Vec<&str> = command.iter().copied().chain(["--outcomes", "o.json"]).collect();
        let refused = project.cauce(&args).exits(2);
        refused.says("o.json").says("no task 'extarct'").says("did you mean 'extract'?");
    }
    project.write("d.json", r#"{"zzz": 3}"#);
    let refused = project.cauce(&["simulate", "p.yaml", "--durations", "d.json"]).exits(2);
    refused.says("d.json").says("no task 'zzz'").says("extract, load");
    for (durations, words) in
        [(r#"{"load": -3}"#, "'load': -3"), (r#"{"load": []}"#, "'load'"), ("[]", "d.json")]
    {
        project.write("d.json", durations);
        project.cauce(&["simulate", "p.yaml", "--durations", "d.json"]).exits(2).says(words);
    }
}
