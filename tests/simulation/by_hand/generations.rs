//! Of a run's next generation: what the one before it left, said and was asked.

use super::{
    HAND, again, approve, bad, begin, begin_as, close, ends_above_its_tasks, finish, good, item, key, open,
    put, reconciled, stand, story, take_away, task, tell, to_below, to_items, to_second, told,
};
use crate::rivals::compiled;
use crate::world::{by_hand, read};
use cauce_engine::command::{
    Again, Begin, Close, ExecutionEnd, Existing, Finish, Observed, Open, Outcome, Trigger,
};
use cauce_engine::trigger::execution_input;
use cauce_engine::{Command, Reply};
use cauce_model::ids::child_execution_name;
use cauce_model::record::{pipeline_item, run_item, task_item};
use cauce_model::{RunKey, RunStatus, TaskStatus};
use cauce_ports::Clock as _;
use serde_json::json;

#[test]
fn what_nobody_has_asked_for_in_a_generation_has_not_happened_in_it() {
    story(HAND, async |host| {
        to_second(host).await;
        tell(host, begin(2, "last", None)).await;
        assert_eq!(task(host, "last").await.generation, 1, "its upstreams have not begun");
        tell(host, close(2)).await;
        let ended = stand(host).await;
        assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Failed, 2));
    });
    story(HAND, async |host| {
        to_second(host).await;
        tell(host, begin(2, "list", None)).await;
        tell(host, begin(2, "each", Some(0))).await;
        assert_eq!(task(host, "each[0]").await.generation, 1, "nobody has made the items");
    });
    story(HAND, async |host| {
        to_second(host).await;
        for command in [
            begin(2, "list", None),
            begin(2, "each", None),
            begin(2, "each", Some(0)),
            finish(2, "each", Some(0), 2, good()),
            finish(2, "each", None, 2, Outcome::Joined),
        ] {
            tell(host, command).await;
        }
        let each = task(host, "each").await;
        assert_eq!((each.generation, each.status), (2, TaskStatus::Failed), "one item has not begun");
    });
}

/// The sweep, or an event, says that an execution of the second generation died before it asked for anything.
#[test]
fn one_that_dies_before_it_begins_fails_in_its_own_generation() {
    let died = || Outcome::Died(Some(ExecutionEnd::TimedOut));
    story(HAND, async |host| {
        to_second(host).await;
        let before = task(host, "last").await;
        tell(host, finish(2, "last", None, 1, died())).await;
        let last = task(host, "last").await;
        assert_eq!((last.generation, last.status), (2, TaskStatus::Failed));
        // What the first one did and brought is its own.
        assert_eq!((&last.attempts, last.settled_attempts), (&before.attempts, 1));
    });
    story(HAND, async |host| {
        to_second(host).await;
        let execution = child_execution_name(&key(), 2, "each", Some(0));
        let (run_key, task_name) = (key(), "each".to_owned());
        let (index, end) = (Some(0), ExecutionEnd::TimedOut);
        let observed = Observed::Task { run_key, generation: 2, task: task_name, index, execution, end };
        tell(host, Command::Observed(Box::new(observed))).await;
        let first = task(host, "each[0]").await;
        assert_eq!((first.generation, first.status), (2, TaskStatus::Failed));
    });
}

#[test]
fn a_question_of_an_earlier_generation_is_not_answered() {
    story(HAND, async |host| {
        to_below(host).await;
        tell(host, begin(1, "good", None)).await;
        ends_above_its_tasks(host).await;
        tell(host, again(Again::All)).await;
        let before = task(host, "good").await;
        assert_eq!((before.generation, before.status), (1, TaskStatus::Running));
        assert!(matches!(tell(host, approve()).await, Reply::Failure { .. }));
        assert_eq!(task(host, "good").await, before);
    });
}

#[test]
fn the_end_of_a_generation_settles_nothing_of_those_before_it() {
    story(HAND, async |host| {
        to_items(host).await;
        ends_above_its_tasks(host).await;
        tell(host, again(Again::Only { task: "list".to_owned() })).await;
        let before = task(host, "each[0]").await;
        assert_eq!((before.generation, before.status), (1, TaskStatus::Running));
        for command in [open(2), begin(2, "list", None), close(2)] {
            tell(host, command).await;
        }
        assert!(stand(host).await.run.status.is_terminal());
        assert_eq!(task(host, "each[0]").await, before);
    });
}

/// A mark is for the generation that it is made in, though one before it was marked alike.
#[test]
fn a_mark_is_repeated_in_the_next_generation() {
    story(HAND, async |host| {
        to_second(host).await;
        let by = "ana".to_owned();
        let mark = Command::Mark { run_key: key(), task: "last".to_owned(), success: true, by };
        let cancel =
            || Command::Cancel { run_key: key(), generation: None, reason: "enough".to_owned(), by: None };
        for command in [cancel(), close(2), mark.clone()] {
            tell(host, command).await;
        }
        assert_eq!(task(host, "last").await.generation, 2);
        for command in [again(Again::All), cancel(), mark] {
            tell(host, command).await;
        }
        assert_eq!(task(host, "last").await.generation, 3);
    });
}

const CLUSTER: &str = "
pipeline: cluster
tasks:
  up: {setup: true, container: {image: loader, command: [run]}}
  work: {needs: [up], container: {image: loader, command: [run]}}
  down: {teardown_of: [up], container: {image: loader, command: [run]}}
";

#[test]
fn a_redrive_of_what_others_have_followed_starts_nothing() {
    story(CLUSTER, async |host| {
        let cut_off = async |generation: u32| {
            let execution = format!("r1-g{generation}");
            let end = ExecutionEnd::Aborted { cause: String::new() };
            let run_key = RunKey::new("cluster", "r1");
            let observed = Observed::Run { run_key, generation, execution, end };
            tell(host, Command::Observed(Box::new(observed))).await;
        };
        let run = async || read(host, &RunKey::new("cluster", "r1")).await.run;
        let request = |again: Again| {
            let request = by_hand(&compiled(CLUSTER), "r1");
            Command::Trigger(Box::new(Trigger { existing: Existing::Next(again), ..request }))
        };
        let opens = |generation: u32| {
            let Command::Open(open) = open(generation) else { unreachable!("made above") };
            let run_key = RunKey::new("cluster", "r1");
            let (pipeline, version) = ("cluster".to_owned(), compiled(CLUSTER).version().to_owned());
            Command::Open(Open { pipeline, version, input: execution_input(&run_key, generation), ..open })
        };
        let word = |generation: u32, fence: Option<u64>| {
            let (run_key, task) = (RunKey::new("cluster", "r1"), "up".to_owned());
            let (token, token_order) = ("up".to_owned(), "1".to_owned());
            match fence {
                None => Command::Begin(Begin { run_key, generation, task, index: None, token, token_order }),
                Some(fence) => {
                    Command::Finish(Finish { run_key, generation, task, index: None, fence, outcome: good() })
                }
            }
        };
        // Set up and cut off; torn down by a generation of its own; the same once more.
        for (generation, fence) in [(1, 1), (3, 2)] {
            tell(host, request(Again::All)).await;
            tell(host, opens(generation)).await;
            tell(host, word(generation, None)).await;
            tell(host, word(generation, Some(fence))).await;
            cut_off(generation).await;
            let next = run().await;
            assert_eq!((next.generation, next.teardown.is_some()), (generation + 1, true));
            if generation == 1 {
                cut_off(2).await;
                assert!(run().await.status.is_terminal());
            }
        }
        cut_off(4).await;
        let before = run().await;
        assert!(before.status.is_terminal() && before.teardown.is_some());
        let run_key = RunKey::new("cluster", "r1");
        tell(host, Command::Close(Close { run_key, generation: 1, redrives: 1 })).await;
        assert_eq!(run().await, before);
    });
}

/// A further generation was asked for, and its pipeline is gone: the run says so.
#[test]
fn new_data_for_a_pipeline_that_is_gone_is_told() {
    story(HAND, async |host| {
        to_second(host).await;
        tell(
            host,
            Command::Cancel { run_key: key(), generation: None, reason: "enough".to_owned(), by: None },
        )
        .await;
        tell(host, close(2)).await;
        let mut run = item(host, &run_item(&key())).await.unwrap();
        run.body.insert("next".into(), json!(stand(host).await.run.trigger));
        put(host, run).await;
        take_away(host, pipeline_item("hand")).await;
        tell(host, Command::Again { run_key: key() }).await;
        let run = stand(host).await.run;
        assert!(run.next.is_none() && run.message.unwrap().contains("no further generation could start"));
    });
}

/// What the sweep does about a run it does by the records of the run's present generation.
#[test]
fn the_sweep_repairs_a_second_generation_as_it_does_a_first() {
    story(HAND, async |host| {
        to_second(host).await;
        for command in [begin(2, "list", None), begin(2, "each", None), begin(2, "alert", None)] {
            tell(host, command).await;
        }
        // The end of `last` was written, and whoever wrote it died before the gate heard of it.
        let mut last = item(host, &task_item(&key(), "last", None)).await.unwrap();
        last.body.insert("generation".into(), json!(2));
        last.body.insert("status".into(), json!("failed"));
        put(host, last).await;
        assert_eq!(told(&reconciled(host, Vec::new()).await, "gates"), 1);
    });
    story(HAND, async |host| {
        to_items(host).await;
        ends_above_its_tasks(host).await;
        tell(host, again(Again::All)).await;
        tell(host, open(2)).await;
        tell(
            host,
            Command::Cancel { run_key: key(), generation: None, reason: "enough".to_owned(), by: None },
        )
        .await;
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(100)).await;
        assert_eq!(told(&reconciled(host, Vec::new()).await, "stopped"), 0, "nothing of it has begun");
    });
}

/// What keeps its ending has arrived before its setup failed, and counts otherwise by now. Others have not arrived:
/// that is no sign that they died.
#[test]
fn an_early_rule_that_is_undecided_again_waits_for_those_that_have_not_arrived() {
    let yaml = "
pipeline: hand
tasks:
  rent: {setup: true, container: {image: loader, command: [run]}}
  first: {needs: [rent], container: {image: loader, command: [run]}}
  late: {container: {image: loader, command: [run]}}
  mid: {needs: [first, late], container: {image: loader, command: [run]}}
  one: {needs: [first, mid], trigger_rule: one_done, container: {image: loader, command: [run]}}
  give: {teardown_of: [rent], container: {image: loader, command: [run]}}
";
    story(yaml, async |host| {
        let request = |existing: Existing| {
            Command::Trigger(Box::new(Trigger { existing, ..by_hand(&compiled(yaml), "r1") }))
        };
        let opens = |generation: u32| {
            let Command::Open(open) = open(generation) else { unreachable!("made above") };
            Command::Open(Open { version: compiled(yaml).version().to_owned(), ..open })
        };
        tell(host, request(Existing::Next(Again::All))).await;
        tell(host, opens(1)).await;
        for task in ["rent", "first", "late", "mid", "one", "give"] {
            tell(host, begin(1, task, None)).await;
            tell(host, finish(1, task, None, 1, good())).await;
        }
        tell(host, close(1)).await;
        let late = Again::Task { task: "late".to_owned(), items: Vec::new(), downstream: true };
        tell(host, request(Existing::Next(late))).await;
        for command in [
            opens(2),
            begin(2, "first", None),
            begin(2, "rent", None),
            finish(2, "rent", None, 2, bad()),
            begin(2, "one", None),
        ] {
            tell(host, command).await;
        }
        let tasks = stand(host).await.tasks;
        let decided = |name: &str| (tasks[name].generation, tasks[name].status);
        assert_eq!(decided("mid"), (1, TaskStatus::Success));
        assert_eq!(decided("one"), (1, TaskStatus::Success));
        for command in [
            begin(2, "late", None),
            finish(2, "late", None, 2, good()),
            begin(2, "mid", None),
            begin_as(2, "one", None, "2"),
        ] {
            tell(host, command).await;
        }
        let ended = stand(host).await.tasks;
        let ended = ["mid", "one"].map(|name| (ended[name].generation, ended[name].status));
        assert_eq!(ended, [(2, TaskStatus::UpstreamFailed), (2, TaskStatus::Skipped)]);
    });
}
