//! Which tasks, and which items of mapped tasks, run again, over several generations of a run.

use crate::repair::{pass, settle, stand, started, tell};
use crate::teardown::{again, whole};
use crate::world::{Ended, Sim, compiled, deployment, script};
use cauce_driver::look::{self, RunTasks};
use cauce_engine::command::{Again, Existing, Trigger};
use cauce_engine::{Command, Prepared, Reply};
use cauce_model::{Json, RunKey};
use serde_json::json;
use std::sync::Arc;

/// A run, and how much of it has been looked at.
struct Story {
    host: Sim,
    key: RunKey,
    seen: usize,
}

impl Story {
    /// Whose first generation has ended.
    fn of(yaml: &str, durations: Json, outcomes: Json) -> Self {
        let (host, key) = started(yaml, script(durations, outcomes));
        assert!(settle(&host));
        Self { host, key, seen: 0 }
    }

    fn ended(&self) -> Ended {
        stand(&self.host, &self.key)
    }

    fn tell(&self, selection: Again) {
        tell(&self.host, &again(&self.ended().run, selection));
    }

    /// As after a death of the engine at this second.
    fn resume_at(&self, second: u64) {
        pass(&self.host, second);
        let Command::Trigger(rerun) = again(&self.ended().run, Again::All) else { unreachable!("made so") };
        tell(&self.host, &Command::Trigger(Box::new(Trigger { existing: Existing::Resume, ..*rerun })));
    }

    fn cancel_at(&self, second: u64) {
        pass(&self.host, second);
        let cancel = Command::Cancel {
            run_key: self.key.clone(),
            generation: None,
            reason: "enough".into(),
            by: None,
        };
        tell(&self.host, &cancel);
    }

    /// Lets it end. How the run did, and what has begun since the last look.
    fn since(&mut self) -> (String, String) {
        assert!(settle(&self.host));
        let ended = self.ended();
        let ran = ended.ran[self.seen..].iter().map(|ran| match ran.index {
            Some(index) => format!("{}[{index}]", ran.task),
            None => ran.task.clone(),
        });
        let ran: Vec<String> = ran.collect();
        self.seen = ended.ran.len();
        (ended.run.status.to_string(), ran.join(" "))
    }

    #[track_caller]
    fn expect(&mut self, status: &str, ran: &str) {
        assert_eq!(self.since(), (status.to_owned(), ran.to_owned()));
    }
}

fn items(task: &str, items: &[u32]) -> Again {
    Again::Task { task: task.to_owned(), items: items.into(), downstream: false }
}

/// Four items, one after another.
const FOUR: &str = "
pipeline: mapped
tasks:
  each: {map: {over: [a, b, c, d], max_concurrency: 1}, container: {image: x, command: [run]}}
";

#[test]
fn a_rerun_of_all_that_is_interrupted_goes_on_with_its_own_items_only() {
    let mut story = Story::of(FOUR, json!({"each": 10}), json!({}));
    story.expect("success", "each[0] each[1] each[2] each[3]");
    story.tell(Again::All);
    // The first run took forty seconds: the first item has succeeded again, the second one is under way.
    story.resume_at(55);
    // The first is kept, the others are not.
    story.expect("success", "each[0] each[1] each[1] each[2] each[3]");
    assert_eq!(story.ended().run.generation, 3);
}

#[test]
fn one_item_runs_again_alone_and_the_others_stay_as_they_are() {
    let goes = json!({"each[1]": [1, 1, "success"], "each[2]": [1, "success"]});
    let mut story = Story::of(FOUR, json!({"each": 10}), goes);
    story.expect("failed", "each[0] each[1] each[2] each[3]");
    story.tell(items("each", &[1]));
    story.expect("failed", "each[1]");
    assert_eq!(story.ended().tasks["each"].reason.as_deref(), Some("2 of 4 items failed"));
    // One that succeeded, with another; the run is interrupted while it is under way.
    story.tell(items("each", &[0, 2]));
    story.resume_at(55);
    story.expect("failed", "each[0] each[0] each[2]");
    // What was left alone is what failed.
    story.tell(Again::Failed);
    story.expect("success", "each[1]");
}

#[test]
fn items_that_never_ran_do_not_run_beside_those_that_are_named() {
    let (host, key) = started(FOUR, script(json!({"each": 10}), json!({"each[0]": [1, "success"]})));
    let mut story = Story { host, key, seen: 0 };
    story.cancel_at(15);
    story.expect("cancelled", "each[0] each[1]");
    story.tell(items("each", &[0]));
    story.expect("failed", "each[0]");
    assert_eq!(story.ended().tasks["each"].reason.as_deref(), Some("3 of 4 items have not run"));
    story.tell(Again::Failed);
    story.expect("success", "each[1] each[2] each[3]");
}

#[test]
fn a_cancel_takes_nothing_from_items_that_had_succeeded() {
    let mut story = Story::of(FOUR, json!({"each": 10}), json!({}));
    story.expect("success", "each[0] each[1] each[2] each[3]");
    story.tell(items("each", &[0]));
    story.cancel_at(45);
    story.expect("cancelled", "each[0]");
    story.tell(Again::Failed);
    story.expect("success", "each[0]");
}

#[test]
fn an_item_that_failed_before_an_interruption_is_not_run_again_by_the_resume() {
    let (host, key) = started(FOUR, script(json!({"each": 10}), json!({"each[0]": [1, "success"]})));
    let mut story = Story { host, key, seen: 0 };
    story.resume_at(25);
    story.expect("failed", "each[0] each[1] each[2] each[2] each[3]");
    story.tell(Again::Failed);
    story.expect("success", "each[0]");
}

#[test]
fn an_item_that_was_skipped_is_not_what_failed() {
    let yaml = FOUR.replace("max_concurrency: 1},", "max_concurrency: 1}, retry: {skip_on_exit_code: [99]},");
    let mut story = Story::of(&yaml, json!({}), json!({"each[0]": [99, 99], "each[3]": [1, "success"]}));
    story.expect("failed", "each[0] each[1] each[2] each[3]");
    story.tell(Again::Failed);
    story.expect("success", "each[3]");
}

#[test]
fn a_mapped_task_that_was_marked_failed_runs_again_whole() {
    let mut story = Story::of(FOUR, json!({}), json!({}));
    story.expect("success", "each[0] each[1] each[2] each[3]");
    let mark =
        Command::Mark { run_key: story.key.clone(), task: "each".into(), success: false, by: "ana".into() };
    tell(&story.host, &mark);
    story.tell(Again::Failed);
    story.expect("success", "each[0] each[1] each[2] each[3]");
}

const BELOW: &str = "
pipeline: mapped
tasks:
  up: {container: {image: x, command: [run]}}
  each: {needs: [up], map: {over: [a, b]}, container: {image: x, command: [run]}}
";

#[test]
fn items_do_not_outlive_what_they_worked_on_whoever_ran_it_again() {
    for selection in [whole("up"), Again::Only { task: "up".to_owned() }] {
        let goes = json!({"each[1]": [1, "success", 1, "success"]});
        let mut story = Story::of(BELOW, json!({}), goes);
        story.expect("failed", "up each[0] each[1]");
        story.tell(selection);
        story.expect("failed", "up");
        story.tell(Again::Failed);
        story.expect("success", "each[0] each[1]");
        story.tell(whole("up"));
        story.expect("success", "up");
        // One that is named runs alone, whatever the others worked on; that does not make them newer.
        story.tell(items("each", &[1]));
        story.expect("failed", "each[1]");
        story.tell(Again::Failed);
        story.expect("success", "each[0] each[1]");
    }
}

#[test]
fn a_setup_that_was_taken_away_is_done_again_whole() {
    let yaml = "
pipeline: mapped
tasks:
  made: {setup: true, map: {over: [a, b]}, container: {image: x, command: [run]}}
  too: {setup: true, container: {image: x, command: [run]}}
  work: {needs: [made, too], container: {image: x, command: [run]}}
  gone: {teardown_of: [made, too], container: {image: x, command: [run]}}
";
    let mut story = Story::of(yaml, json!({"too": 1, "gone": 1}), json!({"made[1]": [1, "success"]}));
    story.expect("failed", "made[0] made[1] too gone");
    story.tell(Again::Failed);
    story.expect("success", "made[0] made[1] too work gone");
}

#[test]
fn what_is_set_up_again_is_taken_away_whole() {
    let yaml = "
pipeline: mapped
tasks:
  one: {setup: true, container: {image: x, command: [run]}}
  two: {setup: true, container: {image: x, command: [run]}}
  work: {needs: [two], container: {image: x, command: [run]}}
  each: {teardown_of: [one], map: {over: [a, b], max_concurrency: 1}, container: {image: x, command: [run]}}
  both: {teardown_of: [one, two], container: {image: x, command: [run]}}
";
    let goes = json!({"work": [1, "success"], "each[1]": [1, "success"]});
    let seconds = json!({"one": 1, "two": 2, "each": 3, "both": 20});
    let mut story = Story::of(yaml, seconds, goes);
    story.expect("failed", "one two work each[0] each[1] both");
    story.tell(Again::Failed);
    story.expect("success", "one two work each[0] each[1] both");
}

/// Makes another version of the pipeline known, and asks for the next generation on it.
fn on_version(story: &Story, yaml: &str, selection: Again) {
    let newest = compiled(yaml);
    story.host.world().clock.clone().block_on(story.host.deploy(&deployment(&newest))).unwrap().unwrap();
    let Command::Trigger(trigger) = again(&story.ended().run, selection) else { unreachable!("made so") };
    let version = newest.version().to_owned();
    tell(&story.host, &Command::Trigger(Box::new(Trigger { version, latest: true, ..*trigger })));
}

#[test]
fn what_a_generation_kept_is_known_by_name_in_a_version_with_other_tasks() {
    let old = "
pipeline: mapped
tasks:
  a: {container: {image: x, command: [run]}}
  b: {needs: [a], container: {image: x, command: [run]}}
  c: {needs: [b], container: {image: x, command: [run]}}
";
    let new = old
        .replace("tasks:", "tasks:\n  first: {container: {image: x, command: [run]}}")
        .replace("  a: {", "  a: {needs: [first], trigger_rule: always, ");
    let mut story = Story::of(old, json!({"first": 1}), json!({"c": [1, 1, "success"]}));
    story.expect("failed", "a b c");
    story.tell(Again::Failed);
    story.expect("failed", "c");
    on_version(&story, &new, Again::Only { task: "c".to_owned() });
    story.expect("success", "c");
    let kept = story.ended().tasks;
    assert_eq!((kept["a"].generation, kept["b"].generation), (1, 1));
}

#[test]
fn a_newer_version_takes_what_it_knows_of_the_parameters() {
    let old = "
pipeline: mapped
params: {gone: {type: integer, default: 1}, kept: {type: integer, default: 5}}
tasks:
  a: {container: {image: x, command: [run, '{{ params.gone }}']}}
";
    let new = old.replace("gone", "more").replace("default: 5", "default: 6");
    let mut story = Story::of(old, json!({}), json!({}));
    on_version(&story, &new, Again::All);
    story.expect("success", "a a");
    assert_eq!(story.ended().run.params, json!({"more": 1, "kept": 5}));
}

#[test]
fn items_do_not_outlive_a_version_in_which_their_task_was_not_mapped() {
    let plain = BELOW.replace("map: {over: [a, b]}, ", "");
    let goes = json!({"each[0]": "success", "each[1]": [1, "success"], "each": [1]});
    let mut story = Story::of(BELOW, json!({}), goes);
    story.expect("failed", "up each[0] each[1]");
    on_version(&story, &plain, Again::All);
    story.expect("failed", "up each");
    on_version(&story, BELOW, Again::Failed);
    story.expect("success", "each[0] each[1]");
}

#[test]
fn the_items_that_are_told_of_a_task_under_way_are_those_that_it_has_begun() {
    let story = Story::of(FOUR, json!({"each": 10}), json!({}));
    story.tell(Again::All);
    pass(&story.host, 55);
    let prepared = Arc::new(Prepared::new(compiled(FOUR).plan.clone(), compiled(FOUR).version()));
    let table = &story.host.world().table;
    let told = story.host.world().clock.clone().block_on(look::tasks(table, story.ended().run, prepared));
    let statuses = |tasks: RunTasks| tasks.items["each"].iter().map(|item| item.status.to_string()).collect();
    let statuses: Vec<String> = statuses(told.unwrap().unwrap());
    assert_eq!(statuses, ["success", "running"]);
}

#[test]
fn an_item_that_cannot_run_again_alone_is_refused_with_the_reason() {
    let yaml = "
pipeline: mapped
tasks:
  plain: {container: {image: x, command: [run]}}
  each: {needs: [plain], map: {over: [a, b]}, container: {image: x, command: [run]}}
  made: {setup: true, map: {over: [a, b]}, container: {image: x, command: [run]}}
  gone: {teardown_of: [made], container: {image: x, command: [run]}}
  late: {needs: [plain], trigger_rule: all_failed, map: {over: [a]}, container: {image: x, command: [run]}}
";
    let (host, key) = started(yaml, script(json!({}), json!({})));
    assert!(settle(&host));
    let run = stand(&host, &key).run;
    for (task, item, reason) in [
        ("plain", 0, "plain has no items: it is not mapped"),
        ("each", 2, "each has no item 2: it has 2, counted from 0"),
        ("made", 0, "made sets up what gone takes away: it can only run again whole"),
        ("late", 0, "late has no items: it did not come to them"),
    ] {
        let items = Again::Task { task: task.to_owned(), items: vec![item], downstream: true };
        let told = host.world().clock.clone().block_on(host.execute(&again(&run, items)));
        let Some(Ok(Reply::Failure { cause, .. })) = told else { panic!("{task}: {told:?}") };
        assert_eq!(cause, reason);
    }
    assert_eq!(stand(&host, &key).run.generation, 1);
}
