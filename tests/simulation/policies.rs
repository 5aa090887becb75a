//! What follows failures: growth, the time that attempts have together, fallbacks.

use crate::world::{Ended, epoch, host_with, script, simulate, simulate_on};
use cauce_engine::Settings;
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::record::OutputRecord;
use cauce_model::{FailureClass, Json};
use serde_json::json;

/// Cpu and memory with which a task's programs were started.
fn sizes(ended: &Ended, task: &str) -> Vec<(String, String)> {
    let of = |request: &Json| {
        let text = |name: &str| request["Overrides"][name].as_str().unwrap().to_owned();
        (text("Cpu"), text("Memory"))
    };
    ended.ran.iter().filter(|ran| ran.task == task).map(|ran| of(&ran.request)).collect()
}

#[test]
fn an_attempt_after_one_that_ran_out_of_memory_has_more_of_it() {
    let yaml = "
pipeline: growing
tasks:
  load:
    container: {image: x, command: [run], cpu: 256, memory: 1024}
    retry: {retries: 4, delay: 1s, on_oom: {memory: x2, max: 8192}}
  fixed: {container: {image: x, command: [run], cpu: 256, memory: 1024}, retry: {retries: 1, delay: 1s}}
";
    let oom = "out_of_memory";
    let outcomes = json!({"load": [oom, "killed", oom, 1, "success"], "fixed": [oom, "success"]});
    let ended = simulate(yaml, script(json!({}), outcomes));
    assert_eq!(ended.statuses(), "fixed:success load:success", "{:?}", ended.reasons());
    let expected = [("256", "1024"), ("256", "2048"), ("256", "2048"), ("512", "4096"), ("512", "4096")];
    let expected = expected.map(|(cpu, memory)| (cpu.to_owned(), memory.to_owned()));
    assert_eq!(sizes(&ended, "load"), expected);
    assert_eq!(sizes(&ended, "fixed"), vec![("256".to_owned(), "1024".to_owned()); 2]);
    // What was launched is what is remembered; without growth there is nothing to remember.
    let remembered = |task: &str| -> Vec<Option<String>> {
        let attempts = &ended.tasks[task].attempts;
        attempts.iter().map(|attempt| attempt.size.map(|size| size.memory.to_string())).collect()
    };
    assert_eq!(remembered("load"), expected.map(|(_, memory)| Some(memory)));
    assert_eq!(remembered("fixed"), [None, None]);
}

#[test]
fn growth_uses_up_retries_and_ends_at_its_bound() {
    let yaml = "
pipeline: growing
tasks:
  load:
    container: {image: x, command: [run], cpu: 512, memory: 1024}
    retry: {retries: 3, delay: 1s, on_oom: {memory: x16, max: 3000}}
";
    let ended = simulate(yaml, script(json!({}), json!({"load": "out_of_memory"})));
    assert_eq!(ended.statuses(), "load:failed");
    let memory: Vec<String> = sizes(&ended, "load").into_iter().map(|(_, memory)| memory).collect();
    assert_eq!(memory, ["1024", "2048", "2048", "2048"]);
}

#[test]
fn items_of_a_mapped_task_grow_each_by_itself() {
    let yaml = "
pipeline: growing
tasks:
  each:
    map: {over: [a, b]}
    container: {image: x, command: [run], cpu: 256, memory: 512}
    retry: {retries: 1, delay: 1s, on_oom: {memory: x2, max: 2048}}
";
    let outcomes = json!({"each[0]": ["out_of_memory", "success"], "each[1]": [1, "success"]});
    let ended = simulate(yaml, script(json!({}), outcomes));
    let last = |item: &str| ended.tasks[item].attempts.last().unwrap().size.unwrap().memory;
    assert_eq!((last("each[0]"), last("each[1]")), (1024, 512));
}

#[test]
fn no_attempt_begins_later_than_so_long_after_the_first() {
    let yaml = "
pipeline: timed
tasks:
  load:
    container: {image: x, command: [run]}
    retry: {retries: 9, delay: 10s, backoff: 1, jitter: 0, max_duration: 1m}
";
    let ended = simulate(yaml, script(json!({"load": 15}), json!({"load": 1})));
    assert_eq!(ended.statuses(), "load:failed");
    assert_eq!(ended.started("load"), [0.0, 25.0, 50.0]);
    let reason = "exit code 1; retry.max_duration: no attempt begins later than 60 s after the first";
    assert_eq!(ended.tasks["load"].reason.as_deref(), Some(reason));
}

#[test]
fn an_attempt_that_gets_its_slots_too_late_does_not_begin() {
    let yaml = "
pipeline: timed
max_active_tasks: 1
tasks:
  first:
    container: {image: x, command: [run]}
    priority: 5
    retry: {retries: 9, delay: 10s, backoff: 1, jitter: 0, max_duration: 1m}
  second: {container: {image: x, command: [run]}}
";
    // While the first one pauses, the second takes the slot, and keeps it for too long.
    let ended = simulate(yaml, script(json!({"first": 1, "second": 100}), json!({"first": 1})));
    assert_eq!(ended.statuses(), "first:failed second:success", "{:?}", ended.reasons());
    assert_eq!(ended.started("first"), [0.0]);
    let reason = ended.tasks["first"].reason.clone().unwrap();
    assert!(reason.contains("retry.max_duration"), "{reason}");
}

const FALLBACK: &str = "
pipeline: fallback
tasks:
  before: {container: {image: x, command: [run]}}
  fetch: {needs: [before], container: {image: x, command: [run]}}
  cached: {fallback_for: fetch, container: {image: x, command: [run]}}
  oldest: {fallback_for: cached, container: {image: x, command: [run]}}
  load: {needs: [fetch, cached, oldest], container: {image: x, command: [run]}}
";

#[test]
fn a_fallback_runs_when_the_other_failed_and_makes_it_good() {
    let ended = |outcomes| {
        let ended = simulate(FALLBACK, script(json!({"fetch": 5, "cached": 3, "oldest": 2}), outcomes));
        (ended.statuses(), ended.run.status.as_str(), ended.run.message, ended.tasks)
    };
    let (statuses, run, ..) = ended(json!({}));
    assert_eq!(statuses, "before:success cached:skipped fetch:success load:success oldest:skipped");
    assert_eq!(run, "success");
    let (statuses, run, message, _) = ended(json!({"fetch": 1}));
    assert_eq!(statuses, "before:success cached:success fetch:failed load:success oldest:skipped");
    assert_eq!((run, message), ("success", None));
    let (statuses, run, ..) = ended(json!({"fetch": 1, "cached": 1}));
    assert_eq!(statuses, "before:success cached:failed fetch:failed load:success oldest:success");
    assert_eq!(run, "success");
    let (statuses, run, message, _) = ended(json!({"fetch": 1, "cached": 2, "oldest": 3}));
    assert_eq!(statuses, "before:success cached:failed fetch:failed load:upstream_failed oldest:failed");
    let words =
        "fetch failed: exit code 1; cached failed: exit code 2; oldest failed: exit code 3; 1 could not run";
    assert_eq!((run, message.as_deref()), ("failed", Some(words)));
    // What could not run is stood in for as well; what failed above it fails the run.
    let (statuses, run, message, _) = ended(json!({"before": 1}));
    assert_eq!(statuses, "before:failed cached:success fetch:upstream_failed load:success oldest:skipped");
    assert_eq!((run, message.as_deref()), ("failed", Some("before failed: exit code 1")));
}

#[test]
fn what_is_below_reads_the_output_of_the_one_that_succeeded() {
    let yaml = "
pipeline: fallback
tasks:
  fetch: {container: {image: x, command: [run]}, returns: {path: string}}
  cached: {fallback_for: fetch, container: {image: x, command: [run]}, returns: {path: string}}
  load:
    needs: [fetch, cached]
    pass: {output: {path: '{{ outputs.fetch.path | default(outputs.cached.path | default(1)) }}'}}
";
    let succeeds = |path: &str| json!({"status": "success", "output": {"path": path}});
    let path = |outcomes: Json| simulate(yaml, script(json!({}), outcomes)).tasks["load"].output.clone();
    let is = |path: &str| Some(OutputRecord::Inline(json!({"path": path})));
    assert_eq!(path(json!({"fetch": succeeds("new")})), is("new"));
    assert_eq!(path(json!({"fetch": 1, "cached": succeeds("old")})), is("old"));
}

#[test]
fn what_is_below_one_and_its_fallback_starts_when_they_have_ended() {
    let started = |outcomes| {
        let durations = json!({"before": 1, "fetch": 5, "cached": 3});
        let ended = simulate(FALLBACK, script(durations, outcomes));
        (ended.started("cached"), ended.started("load"))
    };
    assert_eq!(started(json!({})), (vec![], vec![6.0]));
    assert_eq!(started(json!({"fetch": 1})), (vec![6.0], vec![9.0]));
}

#[test]
fn a_skipped_task_needs_no_fallback_and_a_skipped_fallback_makes_nothing_good() {
    let yaml = "
pipeline: fallback
tasks:
  fetch: {if: \"{{ false }}\", pass: {}}
  cached: {fallback_for: fetch, container: {image: x, command: [run]}}
  load: {needs: [fetch, cached], pass: {}}
  bad: {fail: {message: no}}
  never: {fallback_for: bad, if: \"{{ false }}\", pass: {}}
  below: {needs: [bad, never], pass: {}}
";
    let ended = simulate(yaml, script(json!({}), json!({})));
    let expected = "bad:failed below:upstream_failed cached:skipped fetch:skipped load:skipped never:skipped";
    assert_eq!(ended.statuses(), expected);
    assert_eq!(ended.run.message.as_deref(), Some("bad failed: no; 1 could not run"));
}

#[test]
fn who_needs_only_the_one_that_failed_does_not_run() {
    let yaml = "
pipeline: fallback
tasks:
  fetch: {container: {image: x, command: [run]}}
  cached: {fallback_for: fetch, container: {image: x, command: [run]}}
  alone: {needs: [fetch], container: {image: x, command: [run]}}
  alert: {needs: [fetch, cached], trigger_rule: one_failed, container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, script(json!({"fetch": 2, "cached": 50}), json!({"fetch": 1})));
    assert_eq!(ended.statuses(), "alert:success alone:upstream_failed cached:success fetch:failed");
    assert_eq!(ended.started("alert"), [2.0], "an early rule waits for no fallback");
    assert_eq!(ended.run.message.as_deref(), Some("1 could not run"));
}

#[test]
fn an_attempt_over_its_time_is_ended_and_the_next_one_has_its_own_time() {
    let yaml = "
pipeline: timed
tasks:
  load: {container: {image: x, command: [run]}, timeout: 30s, retry: {retries: 1, delay: 5s, jitter: 0}}
  late: {container: {image: x, command: [run]}, timeout: 30s}
";
    let ended = simulate(yaml, script(json!({"load": [100, 29], "late": 31}), json!({})));
    assert_eq!(ended.statuses(), "late:failed load:success", "{:?}", ended.reasons());
    assert_eq!(ended.started("load"), [0.0, 35.0]);
    let classes = |task: &str| -> Vec<_> { ended.tasks[task].attempts.iter().map(|a| a.class).collect() };
    assert_eq!(classes("load"), [Some(FailureClass::Timeout), None]);
    assert_eq!(classes("late"), [Some(FailureClass::Timeout)]);
    assert_eq!(ended.tasks["late"].reason.as_deref(), Some("over its time"));
}

#[test]
fn a_program_that_nobody_holds_to_its_time_is_ended_by_its_state_after_what_it_may_take_to_start_and_to_end()
{
    let yaml = "
pipeline: provisioned
tasks:
  load: {container: {image: x, command: [run]}, timeout: 30s, start_timeout: 2m, stop_timeout: 20s}
";
    let ended = |one_machine: bool, seconds: u32| {
        let script = script(json!({"load": seconds}), json!({}));
        let world = Simulated::new(MemoryTable::new(), MemoryObjects::default(), script, epoch());
        world.programs.hold_none();
        let host = host_with(world, Settings { one_machine, ..Settings::default() });
        let ended = simulate_on(&host, &[yaml]);
        let task = &ended.tasks["load"];
        let took = task.ended_at.unwrap().micros_since(epoch());
        (task.status.as_str(), task.attempts[0].class, took / 1_000_000)
    };
    // 30 s to run, 120 s to start where something has to be provisioned, 20 s to stop, 60 s to tell.
    for (one_machine, most) in [(false, 230), (true, 110)] {
        assert_eq!(ended(one_machine, most - 1), ("success", None, i64::from(most) - 1));
        assert_eq!(ended(one_machine, 1_000), ("failed", Some(FailureClass::Timeout), i64::from(most)));
    }
}

#[test]
fn a_heartbeat_that_stops_is_charged_to_the_retries_and_what_never_started_is_not() {
    let yaml = "
pipeline: charged
tasks:
  silent: {container: {image: x, command: [run]}, retry: {retries: 1, delay: 1s}}
  unlucky: {container: {image: x, command: [run]}, retry: {retries: 0, infrastructure_retries: 2, delay: 1s}}
";
    let outcomes = json!({"silent": "heartbeat", "unlucky": ["capacity", "image_pull", "success"]});
    let ended = simulate(yaml, script(json!({}), outcomes));
    assert_eq!(ended.statuses(), "silent:failed unlucky:success", "{:?}", ended.reasons());
    let classes: Vec<_> = ended.tasks["silent"].attempts.iter().map(|attempt| attempt.class).collect();
    assert_eq!(classes, [Some(FailureClass::Heartbeat); 2]);
}
