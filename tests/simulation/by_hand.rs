//! Commands told by hand, one after the other, in a world where nothing happens by itself: moments between two
//! decisions that a run only meets when somebody dies, is late or is told twice.

use crate::controls::project;
use crate::rivals::{Held, compiled, deployed, new};
use crate::sets::poll_once;
use crate::world::{Ended, by_hand, deployment, epoch, read};
use cauce_engine::breaker::Verdict;
use cauce_engine::command::{
    Again, Approve, Ask, Begin, Close, ExecutionEnd, Existing, Finish, Observed, Open, Outcome, Program,
    Reconcile, Trigger,
};
use cauce_engine::trigger::execution_input;
use cauce_engine::{Command, Reply};
use cauce_model::control::{BreakerRecord, OpenRecord, ProbeRecord, breaker_item, rate_item};
use cauce_model::deployment::version_item;
use cauce_model::event::{SetRecord, clock_item, set_item};
use cauce_model::ids::child_execution_name;
use cauce_model::record::{
    PipelineRecord, Record, TaskRecord, active_item, gate_item, pipeline_item, run_item, task_item,
};
use cauce_model::{Expect, Item, Key, RunKey, RunStatus, TaskStatus, Write};
use cauce_ports::{Clock as _, Table as _};
use serde_json::json;
use std::collections::BTreeMap;

const HAND: &str = "
pipeline: hand
max_active_runs: 8
tasks:
  list: {pass: {output: {items: [1, 2]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: loader, command: [run]}}
  last: {needs: [each], container: {image: loader, command: [run]}, retry: {retries: 3, delay: 5s, jitter: 0}}
  good: {needs: [each], approval: {message: 'good?'}}
  alert: {needs: [last, good], trigger_rule: one_failed, container: {image: loader, command: [run]}}
";

/// Carries out a story in a world of its own.
fn story(yaml: &str, told: impl AsyncFnOnce(&Held)) {
    let (host, ..) = new();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, yaml).await;
            told(&host).await;
        })
        .unwrap();
}

async fn tell(host: &Held, command: Command) -> Reply {
    host.driver().execute(&command).await.unwrap()
}

fn key() -> RunKey {
    RunKey::new("hand", "r1")
}

fn again(again: Again) -> Command {
    let request = by_hand(&compiled(HAND), "r1");
    Command::Trigger(Box::new(Trigger { existing: Existing::Next(again), ..request }))
}

fn open(generation: u32) -> Command {
    Command::Open(Open {
        pipeline: "hand".to_owned(),
        version: compiled(HAND).version().to_owned(),
        execution: format!("r1-g{generation}"),
        input: execution_input(&key(), generation),
        token: format!("open {generation}"),
    })
}

fn begin_as(generation: u32, task: &str, index: Option<u32>, order: &str) -> Command {
    let (run_key, task) = (key(), task.to_owned());
    let token = format!("{task} {order}");
    Command::Begin(Begin { run_key, generation, task, index, token, token_order: order.to_owned() })
}

fn begin(generation: u32, task: &str, index: Option<u32>) -> Command {
    begin_as(generation, task, index, "1")
}

fn finish(generation: u32, task: &str, index: Option<u32>, fence: u64, outcome: Outcome) -> Command {
    Command::Finish(Finish { run_key: key(), generation, task: task.to_owned(), index, fence, outcome })
}

fn good() -> Outcome {
    Outcome::Succeeded(json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]}))
}

fn bad() -> Outcome {
    Outcome::Failed { error: "States.Timeout".to_owned(), cause: String::new() }
}

fn approve() -> Command {
    let (task, by) = ("good".to_owned(), "ana".to_owned());
    Command::Approve(Approve { run_key: key(), task, approved: true, by, comment: String::new() })
}

fn close(generation: u32) -> Command {
    Command::Close(Close { run_key: key(), generation, redrives: 0 })
}

/// The first generation up to where its items have begun.
async fn to_items(host: &Held) {
    for command in [
        again(Again::All),
        open(1),
        begin(1, "list", None),
        begin(1, "each", None),
        begin(1, "each", Some(0)),
        begin(1, "each", Some(1)),
    ] {
        tell(host, command).await;
    }
}

/// The first generation up to where all of it can begin that stands below the items.
async fn to_below(host: &Held) {
    to_items(host).await;
    for command in [
        finish(1, "each", Some(0), 1, good()),
        finish(1, "each", Some(1), 1, good()),
        finish(1, "each", None, 1, Outcome::Joined),
    ] {
        tell(host, command).await;
    }
}

/// The first generation, which ends well, and the beginning of the next.
async fn to_second(host: &Held) {
    to_below(host).await;
    let ask = Ask {
        run_key: key(),
        generation: 1,
        task: "good".to_owned(),
        fence: 1,
        token: "answer me".to_owned(),
        token_order: "1".to_owned(),
    };
    for command in [
        begin(1, "last", None),
        finish(1, "last", None, 1, good()),
        begin(1, "good", None),
        Command::Ask(ask),
        approve(),
        finish(1, "good", None, 1, Outcome::Succeeded(json!({"approved": true}))),
        begin(1, "alert", None),
        close(1),
    ] {
        tell(host, command).await;
    }
    let ended = stand(host).await;
    assert_eq!(ended.run.status, RunStatus::Success, "{:?}", ended.reasons());
    tell(host, again(Again::All)).await;
    tell(host, open(2)).await;
}

async fn stand(host: &Held) -> Ended {
    read(host, &key()).await
}

async fn task(host: &Held, name: &str) -> TaskRecord {
    stand(host).await.tasks.remove(name).unwrap()
}

async fn item(host: &Held, key: &Key) -> Option<Item> {
    host.world().table.get(key).await.unwrap()
}

async fn put(host: &Held, item: Item) {
    let token = format!("put {:?} {}", item.key, item.version);
    host.world().table.write(&[Write::Put { item, expect: Expect::Any }], &token).await.unwrap();
}

async fn take_away(host: &Held, key: Key) {
    let token = format!("take {key:?}");
    host.world().table.write(&[Write::Delete { key, expect: Expect::Any }], &token).await.unwrap();
}

/// The run's record says that it is over, whatever those of its tasks say: so it is for a moment with whatever had
/// read the run before its end and was written after it.
async fn ends_above_its_tasks(host: &Held) {
    let mut run = item(host, &run_item(&key())).await.unwrap();
    run.body.insert("status".into(), "failed".into());
    run.body.insert("ended_at".into(), json!(host.world().clock.now()));
    put(host, run).await;
}

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
        let cancel = || Command::Cancel { run_key: key(), reason: "enough".to_owned(), by: None };
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

/// Whoever speaks for the first attempt must not wait for a third one beside who speaks for the second.
#[test]
fn an_attempt_that_another_replaced_is_not_told_to_try_again() {
    story(HAND, async |host| {
        to_below(host).await;
        tell(host, begin(1, "last", None)).await;
        let reply = tell(host, finish(1, "last", None, 1, bad())).await;
        assert!(matches!(&reply, Reply::Ok(told) if told["decision"] == "retry"), "{reply:?}");
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(10)).await;
        tell(host, begin_as(1, "last", None, "2")).await;
        assert_eq!(task(host, "last").await.fence, 2);
        let reply = tell(host, finish(1, "last", None, 2, bad())).await;
        assert!(matches!(&reply, Reply::Ok(told) if told["decision"] == "retry"), "{reply:?}");
        let before = task(host, "last").await;
        let reply = tell(host, finish(1, "last", None, 1, bad())).await;
        assert!(!matches!(&reply, Reply::Ok(told) if told["decision"] == "retry"), "{reply:?}");
        assert_eq!(task(host, "last").await, before);
        // What the platform tells of the first attempt's program is noted with that attempt, and no more.
        clock.until(clock.now().plus_seconds(20)).await;
        tell(host, begin_as(1, "last", None, "3")).await;
        let program = "arn:aws:ecs:eu-west-1:123456789012:task/simulated/0001".to_owned();
        let (run_key, task_name) = (key(), "last".to_owned());
        let observed = Observed::Program { run_key, task: task_name, index: None, attempt: 1, program };
        tell(host, Command::Observed(Box::new(observed))).await;
        let last = task(host, "last").await;
        let is_told = |log: &Option<String>| log.as_ref().is_some_and(|log| log.ends_with("0001"));
        let logs: Vec<bool> = last.attempts.iter().map(|attempt| is_told(&attempt.log)).collect();
        assert_eq!((logs, last.status), (vec![true, false, false], TaskStatus::Running));
    });
}

/// The token that is kept at a gate is that of the newest request.
#[test]
fn of_two_tokens_at_a_gate_the_newer_one_is_kept() {
    story(HAND, async |host| {
        to_below(host).await;
        tell(host, begin_as(1, "alert", None, "2")).await;
        tell(host, begin_as(1, "alert", None, "1")).await;
        let gate = item(host, &gate_item(&key(), 1, "alert", None)).await.unwrap();
        assert_eq!(gate.body["token"], "alert 2");
    });
}

async fn controls(host: &Held) {
    tell(host, Command::Define(Box::new(project().controls()))).await;
    tell(host, Command::Resize { pools: [("wide".to_owned(), 50)].into() }).await;
}

async fn breaker(host: &Held) -> BreakerRecord {
    BreakerRecord::from_item(&item(host, &breaker_item("erp")).await.unwrap()).unwrap()
}

#[test]
fn while_a_breaker_is_tried_out_others_have_no_say() {
    story(HAND, async |host| {
        controls(host).await;
        let now = host.world().clock.now();
        let mut record = breaker(host).await;
        let probe = Some(ProbeRecord { holder: "probe".to_owned(), since: now });
        record.open = Some(OpenRecord { at: now, until: Some(now), by: None, reason: None, probe });
        put(host, Item::new(breaker_item("erp"), record.to_body())).await;
        let report = |holder: &str, verdict: Verdict| Command::Report {
            breaker: "erp".to_owned(),
            holder: holder.to_owned(),
            verdict,
            at: now,
            reason: String::new(),
        };
        for verdict in [Verdict::Good, Verdict::Bad, Verdict::Neither] {
            tell(host, report("another", verdict)).await;
            assert_eq!(breaker(host).await, record, "{verdict:?}");
        }
        tell(host, report("probe", Verdict::Good)).await;
        assert_eq!(breaker(host).await.open, None);
    });
}

/// Who cannot wait as long as it takes takes nothing, and is in nobody's way.
#[test]
fn a_limit_gives_a_turn_or_nothing() {
    story(HAND, async |host| {
        controls(host).await;
        // Ten in sixty seconds: a turn every six.
        let take = async |within: Option<u64>| {
            let limit = "sec".to_owned();
            match tell(host, Command::Take { limit, tokens: 1, within_seconds: within }).await {
                Reply::Ok(told) => (told["taken"].as_bool().unwrap(), told["wait_micros"].as_i64().unwrap()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(take(Some(0)).await, (true, 0));
        assert_eq!(take(Some(5)).await, (false, 6_000_000));
        assert_eq!(take(Some(6)).await, (true, 6_000_000));
        assert_eq!(take(Some(11)).await, (false, 12_000_000));
        assert_eq!(take(None).await, (true, 12_000_000));
        let taken = item(host, &rate_item("sec")).await.unwrap().body["taken"].clone();
        assert_eq!(taken, 3);
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(60)).await;
        assert_eq!(take(Some(0)).await, (true, 0));
    });
}

#[test]
fn what_is_as_it_should_be_is_not_written_again() {
    story(HAND, async |host| {
        controls(host).await;
        for key in [breaker_item("erp"), rate_item("sec"), Key::new("pool#wide", "P")] {
            let before = item(host, &key).await.unwrap().version;
            controls(host).await;
            assert_eq!(item(host, &key).await.unwrap().version, before, "{key:?}");
        }
    });
}

fn reconcile() -> Command {
    Command::Reconcile(Reconcile {
        run_key: key(),
        after: String::new(),
        look: 10,
        programs: Some(Vec::new()),
    })
}

#[test]
fn a_run_leaves_the_list_of_the_sweep_as_it_was_when_it_was_looked_at() {
    story(HAND, async |host| {
        to_second(host).await;
        let active = active_item(&key());
        assert!(item(host, &active).await.is_some());
        // Something has become of it since.
        tell(host, Command::Retire { run_key: key(), version: 1 }).await;
        assert!(item(host, &active).await.is_some());
        // Of one that is gone nothing is left.
        take_away(host, run_item(&key())).await;
        tell(host, reconcile()).await;
        assert!(item(host, &active).await.is_none());
    });
}

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

const CLUSTER: &str = "
pipeline: cluster
tasks:
  up: {setup: true, container: {image: loader, command: [run]}}
  work: {needs: [up], container: {image: loader, command: [run]}}
  down: {teardown_of: [up], container: {image: loader, command: [run]}}
";

/// What files were to wait for is no longer asked of them: nothing is due any more.
#[test]
fn a_set_of_files_that_wait_for_nothing_any_more_is_not_due() {
    let plain = "
pipeline: clocked
triggers:
  - file: {bucket: \"${{ env.lake }}\", keys: [\"in/*.csv\"]}
tasks:
  load: {container: {image: loader, command: [run]}}
";
    story(plain, async |host| {
        let set =
            SetRecord { settles_at: Some(epoch()), ..SetRecord::new("clocked", "s", 0, BTreeMap::new()) };
        put(host, set.row(Some(epoch()))).await;
        tell(host, Command::Set { pipeline: "clocked".to_owned(), set: "s".to_owned() }).await;
        assert!(item(host, &set_item("clocked", "s")).await.unwrap().index.is_none());
    });
}

/// Timers that come after their pipeline was taken away, or has become another one.
#[test]
fn what_is_due_of_a_pipeline_that_is_gone_goes_too() {
    story(CLOCKED, async |host| {
        let (clock, set) = (clock_item("clocked"), set_item("clocked", "s"));
        let record = SetRecord::new("clocked", "s", 9, BTreeMap::new());
        let mut waiting = record.row(Some(epoch()));
        put(host, waiting.clone()).await;
        let due = || Command::Set { pipeline: "clocked".to_owned(), set: "s".to_owned() };
        tell(host, due()).await;
        waiting = item(host, &set).await.unwrap();
        assert!(waiting.index.is_none(), "no trigger waits for it");
        assert!(item(host, &clock).await.is_some());
        take_away(host, pipeline_item("clocked")).await;
        tell(host, Command::Ticks { pipeline: "clocked".to_owned() }).await;
        tell(host, due()).await;
        assert_eq!((item(host, &clock).await, item(host, &set).await), (None, None));
    });
}

const CLOCKED: &str = "
pipeline: clocked
schedule: '0 * * * *'
tasks:
  load: {container: {image: loader, command: [run]}}
";

/// A run whose execution ends has each of its items settled, however many transactions that takes.
#[test]
fn more_items_than_one_transaction_holds_are_settled() {
    let many: Vec<u32> = (0..150).collect();
    let wide =
        HAND.replace("[1, 2]", &json!(many).to_string()).replace("tasks:", "max_active_tasks: 200\ntasks:");
    story(&wide, async |host| {
        let request = Command::Trigger(Box::new(by_hand(&compiled(&wide), "r1")));
        let Command::Open(opened) = open(1) else { unreachable!("made above") };
        let opened = Open { version: compiled(&wide).version().to_owned(), ..opened };
        for command in [request, Command::Open(opened), begin(1, "list", None), begin(1, "each", None)] {
            tell(host, command).await;
        }
        for index in 0..150 {
            tell(host, begin(1, "each", Some(index))).await;
        }
        let end = ExecutionEnd::Aborted { cause: String::new() };
        let observed = Observed::Run { run_key: key(), generation: 1, execution: "r1-g1".to_owned(), end };
        tell(host, Command::Observed(Box::new(observed))).await;
        let ended = stand(host).await;
        assert_eq!(ended.run.status, RunStatus::Cancelled);
        let is_cut_off = |task: &&TaskRecord| task.index.is_some() && task.status == TaskStatus::Cancelled;
        assert_eq!(ended.tasks.values().filter(is_cut_off).count(), 150);
    });
}

/// A further generation was asked for, and its pipeline is gone: the run says so.
#[test]
fn new_data_for_a_pipeline_that_is_gone_is_told() {
    story(HAND, async |host| {
        to_second(host).await;
        tell(host, Command::Cancel { run_key: key(), reason: "enough".to_owned(), by: None }).await;
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

fn told(reply: &Reply, name: &str) -> i64 {
    match reply {
        Reply::Ok(told) => told[name].as_i64().unwrap_or_else(|| panic!("{name}: {told}")),
        other => panic!("{other:?}"),
    }
}

fn program(attempt: u32) -> Program {
    Program { id: format!("program {attempt}"), task: "last".to_owned(), index: None, attempt }
}

async fn reconciled(host: &Held, programs: Vec<Program>) -> Reply {
    let (run_key, after) = (key(), String::new());
    tell(host, Command::Reconcile(Reconcile { run_key, after, look: 10, programs: Some(programs) })).await
}

#[test]
fn a_program_belongs_to_the_newest_attempt_of_the_present_generation() {
    story(HAND, async |host| {
        to_below(host).await;
        tell(host, begin(1, "last", None)).await;
        assert_eq!(told(&reconciled(host, vec![program(1)]).await, "stopped"), 0);
        tell(host, finish(1, "last", None, 1, bad())).await;
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(10)).await;
        tell(host, begin_as(1, "last", None, "2")).await;
        assert_eq!(told(&reconciled(host, vec![program(1), program(2)]).await, "stopped"), 1);
        ends_above_its_tasks(host).await;
        tell(host, again(Again::All)).await;
        tell(host, open(2)).await;
        assert_eq!(told(&reconciled(host, vec![program(2)]).await, "stopped"), 1);
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
        tell(host, Command::Cancel { run_key: key(), reason: "enough".to_owned(), by: None }).await;
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(100)).await;
        assert_eq!(told(&reconciled(host, Vec::new()).await, "stopped"), 0, "nothing of it has begun");
    });
}

const NARROW: &str = "
pipeline: hand
max_active_tasks: 1
tasks:
  first: {container: {image: loader, command: [run]}}
  second: {container: {image: loader, command: [run]}}
";

fn narrow() -> [Command; 2] {
    let Command::Open(opened) = open(1) else { unreachable!("made above") };
    let opened = Open { version: compiled(NARROW).version().to_owned(), ..opened };
    [Command::Trigger(Box::new(by_hand(&compiled(NARROW), "r1"))), Command::Open(opened)]
}

async fn line(host: &Held) -> Vec<Item> {
    host.world().table.query("pool#active:hand", "W#", None, 10).await.unwrap().items
}

async fn pool(host: &Held) -> Item {
    item(host, &Key::new("pool#active:hand", "P")).await.unwrap()
}

#[test]
fn a_place_in_line_is_for_one_attempt_and_from_when_it_came() {
    story(NARROW, async |host| {
        for command in narrow() {
            tell(host, command).await;
        }
        tell(host, begin(1, "first", None)).await;
        tell(host, begin(1, "second", None)).await;
        let place = line(host).await.pop().unwrap();
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(10)).await;
        // Asked again, it stands where it stood.
        tell(host, begin_as(1, "second", None, "2")).await;
        assert_eq!(line(host).await.pop().unwrap().body["since"], place.body["since"]);
        for command in [finish(1, "first", None, 1, good()), begin_as(1, "second", None, "3")] {
            tell(host, command).await;
        }
        assert_eq!(task(host, "second").await.status, TaskStatus::Running);
        // A place that somebody left there, who died, is nobody's any more.
        put(host, place).await;
        clock.until(clock.now().plus_seconds(1)).await;
        tell(host, Command::Reclaim { pool: "active:hand".to_owned(), all: false }).await;
        assert_eq!((pool(host).await.body["used"].clone(), line(host).await.len()), (json!(1), 0));
    });
}

/// A slot is taken before it is written who has it: between the two the sweep must not take it for one of an attempt
/// that is over because an earlier generation's is.
#[test]
fn a_slot_that_was_just_taken_is_not_given_back() {
    let reclaim = Command::Reclaim { pool: "active:hand".to_owned(), all: false };
    let mut calls = 0;
    for call in 1.. {
        let (host, _, faults) = new();
        let clock = host.world().clock.clone();
        let was_held = clock.block_on(async {
            deployed(&host, NARROW).await;
            let Command::Open(opened) = open(2) else { unreachable!("made above") };
            let opened = Open { version: compiled(NARROW).version().to_owned(), ..opened };
            let request = by_hand(&compiled(NARROW), "r1");
            for command in narrow().into_iter().chain([
                begin(1, "first", None),
                finish(1, "first", None, 1, good()),
                Command::Cancel { run_key: key(), reason: "enough".to_owned(), by: None },
                close(1),
                Command::Trigger(Box::new(Trigger { existing: Existing::Next(Again::All), ..request })),
                Command::Open(opened),
            ]) {
                tell(&host, command).await;
            }
            faults.hold_at(faults.calls() + call);
            let command = begin(2, "first", None);
            let mut begins = std::pin::pin!(host.driver().execute(&command));
            let was_held = poll_once(begins.as_mut()).await.is_none();
            if was_held {
                host.driver().execute(&reclaim).await.unwrap();
            }
            faults.release();
            if was_held {
                begins.await.unwrap();
            }
            assert_eq!(task(&host, "first").await.status, TaskStatus::Running, "call {call}");
            assert_eq!(pool(&host).await.body["used"], 1, "call {call}");
            was_held
        });
        if !was_held.unwrap() {
            break;
        }
        calls = call;
    }
    assert!(calls > 1);
}

/// Which deployment a run is pinned to is a matter of the version that was asked for.
#[test]
fn a_run_is_pinned_to_the_deployment_of_its_version() {
    let yaml = |number: u32| HAND.replace("good?", &format!("good {number}?"));
    let machine = |number: u32| format!("hand:{}", &compiled(&yaml(number)).version()[..12]);
    story(&yaml(1), async |host| {
        let request = |number: u32, run_id: &str| Trigger {
            existing: Existing::Next(Again::All),
            ..by_hand(&compiled(&yaml(number)), run_id)
        };
        let run = async |run_id: &str| read(host, &RunKey::new("hand", run_id)).await.run;
        let ask = async |trigger: Trigger| tell(host, Command::Trigger(Box::new(trigger))).await;
        ask(request(1, "r1")).await;
        let run_key = RunKey::new("hand", "r1");
        tell(host, Command::Cancel { run_key, reason: "enough".to_owned(), by: None }).await;
        deployed(host, &yaml(2)).await;
        // A further generation on the newer version, and a run of the older one.
        ask(request(2, "r1")).await;
        ask(request(1, "r2")).await;
        assert_eq!((run("r1").await.machine, run("r2").await.machine), (machine(2), machine(1)));
        crate::deployments::staged(host, &compiled(&yaml(3))).await;
        tell(host, crate::rivals::deploys(&yaml(3), "drop", Some(50))).await;
        for (number, run_id) in [(2, "r3"), (3, "r4")] {
            ask(Trigger { canary: true, ..request(number, run_id) }).await;
            assert_eq!(run(run_id).await.machine, machine(number));
        }
    });
}

/// An execution that somebody started from the console under a name, and whose run waits its turn: asked again, it is
/// the same run. A name that only resembles a date's is no date's.
#[test]
fn an_execution_of_the_console_is_the_run_of_its_name() {
    let single = CLOCKED.replace("0 * * * *", "0 2 * * *").replace("tasks:", "max_active_runs: 1\ntasks:");
    story(&single, async |host| {
        let open = |name: &str, token: &str| {
            Command::Open(Open {
                pipeline: "clocked".to_owned(),
                version: compiled(&single).version().to_owned(),
                execution: name.to_owned(),
                input: json!({}),
                token: token.to_owned(),
            })
        };
        let run = async |name: &str| read(host, &RunKey::new("clocked", name)).await.run;
        tell(host, open("first", "1")).await;
        for token in ["2", "3"] {
            tell(host, open("19970105", token)).await;
            let waiting = run("19970105").await;
            assert_eq!((waiting.status, waiting.token.as_deref()), (RunStatus::Queued, Some(token)));
            assert_eq!(waiting.logical_date, epoch(), "its day's run is called 1997-01-05");
        }
    });
}

/// A machine that also has a service's deployments runs what a file says beside them.
#[test]
fn a_file_that_is_run_beside_a_deployment_leaves_it_and_is_kept_with_it() {
    story(HAND, async |host| {
        let other = compiled(&HAND.replace("good?", "better?"));
        // What was deployed for all is read from its document, as a machine that has it not loaded does.
        let documents = deployment(&compiled(HAND));
        host.load(&documents).await.unwrap();
        host.deploy(&deployment(&other)).await.unwrap();
        let record = PipelineRecord::from_item(&item(host, &pipeline_item("hand")).await.unwrap()).unwrap();
        assert_eq!(record.version, compiled(HAND).version());
        assert!(item(host, &version_item("hand", other.version())).await.is_some());
    });
}

const POOLED: &str = "
pipeline: hand
tasks:
  first: {pools: {wide: 1}, container: {image: x, command: [run]}}
  second: {pools: {wide: 1}, container: {image: x, command: [run]}}
";

/// A pool shrinks between the moment at which somebody sees what is free and the one at which it is taken: nobody takes
/// what is not there any more.
#[test]
fn a_slot_that_went_between_two_looks_is_not_taken() {
    let compiled = crate::world::compiled_in(POOLED, &project());
    let shrink = Command::Resize { pools: [("wide".to_owned(), 0)].into() };
    let key_of_pool = Key::new("pool#wide", "P");
    let slots = |used: &str| [("wide".to_owned(), used.parse().unwrap())].into();
    for (held, earlier) in [
        (begin(1, "first", None), Vec::new()),
        (finish(1, "first", None, 1, good()), vec![begin(1, "first", None), begin(1, "second", None)]),
    ] {
        let mut seen_free = 0;
        for call in 1.. {
            let (host, table, faults) = new();
            let used = || {
                let item = table.items().into_iter().find(|item| item.key == key_of_pool).unwrap();
                item.body.get("used").and_then(cauce_model::Json::as_i64).unwrap_or(0)
            };
            let clock = host.world().clock.clone();
            let was_held = clock.block_on(async {
                tell(&host, Command::Resize { pools: slots("1") }).await;
                host.deploy(&deployment(&compiled)).await.unwrap();
                let Command::Open(opened) = open(1) else { unreachable!("made above") };
                let opened = Open { version: compiled.version().to_owned(), ..opened };
                tell(&host, Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await;
                tell(&host, Command::Open(opened)).await;
                for command in earlier.clone() {
                    tell(&host, command).await;
                }
                faults.hold_at(faults.calls() + call);
                let mut deciding = std::pin::pin!(host.driver().execute(&held));
                let was_held = poll_once(deciding.as_mut()).await.is_none();
                if was_held {
                    let before = used();
                    tell(&host, shrink.clone()).await;
                    faults.release();
                    deciding.await.unwrap();
                    if before == 0 {
                        seen_free += 1;
                        assert_eq!(used(), 0, "{} held at call {call}", held.name());
                    }
                }
                was_held
            });
            if !was_held.unwrap() {
                break;
            }
        }
        assert!(seen_free > 1, "{}: {seen_free}", held.name());
    }
}
