//! Approvals: a person's answer is written once, and the run goes on with it whatever dies around it.

use crate::deployments::audit;
use crate::repair::{events, pass, settle, stand, started, stop, sweep, tell};
use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, read, script};
use cauce_compiler::Compiled;
use cauce_engine::command::{Again, Approve, Ask, Decision, Existing, Trigger};
use cauce_engine::{Command, Need, Reply, Settings, View, decide};
use cauce_host::Host;
use cauce_host::simulation::{MemoryObjects, Script, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::audit::audit_partition;
use cauce_model::ids::child_execution_name;
use cauce_model::record::{OutputRecord, Record, TaskRecord, run_item};
use cauce_model::{AuditRecord, Json, RunKey, TaskStatus};
use cauce_ports::{Clock, Table, TableError};
use cauce_testkit::faulty::{Faults, Faulty, Moment, Rates};
use serde_json::json;

const RELEASE: &str = "
pipeline: shop
params: {version: {type: string, default: '1.2'}}
tasks:
  build: {pass: {}}
  ask:
    needs: [build]
    approval: {message: 'release {{ params.version }}?', notify: [mail]}
    timeout: 1h
  ship:
    needs: [ask]
    pass: {output: {by: '{{ outputs.ask.by }}', word: '{{ outputs.ask.decision }}', why: '{{ outputs.ask.comment }}'}}
";

pub(crate) fn release(more: &str) -> String {
    RELEASE.replace("notify: [mail]", &format!("notify: [mail], {more}"))
}

pub(crate) fn say(key: &RunKey, approved: bool, by: &str) -> Command {
    Command::Approve(Approve {
        run_key: key.clone(),
        task: "ask".to_owned(),
        approved,
        by: by.to_owned(),
        comment: "as agreed".to_owned(),
    })
}

fn reply(host: &Sim, command: &Command) -> Reply {
    host.world().clock.clone().block_on(host.execute(command)).unwrap().unwrap()
}

fn refused(host: &Sim, command: &Command, words: &str) {
    match reply(host, command) {
        Reply::Failure { cause, .. } => assert!(cause.contains(words), "no '{words}' in: {cause}"),
        other => panic!("{command:?} was not refused: {other:?}"),
    }
}

fn answers(entries: &[AuditRecord]) -> Vec<Json> {
    let entries = entries.iter().filter(|entry| matches!(entry.action.as_str(), "approve" | "reject"));
    entries.map(|entry| json!([entry.action, entry.by, entry.task, entry.detail])).collect()
}

pub(crate) fn audited(host: &Sim) -> Vec<Json> {
    answers(&host.world().clock.clone().block_on(audit(host)).unwrap())
}

fn asked(host: &Sim, key: &RunKey) -> TaskRecord {
    stand(host, key).tasks["ask"].clone()
}

fn output(ended: &Ended, task: &str) -> Json {
    match &ended.tasks[task].output {
        Some(OutputRecord::Inline(value)) => value.clone(),
        other => panic!("{task}: {other:?}"),
    }
}

#[test]
fn a_yes_lets_the_run_go_on_with_who_said_it() {
    let (host, key) = started(RELEASE, Script::default());
    pass(&host, 90);
    let waits = asked(&host, &key);
    assert_eq!(waits.status, TaskStatus::Running);
    assert_eq!(waits.reason.as_deref(), Some("waits for approval (cauce approve shop/r1 ask): release 1.2?"));
    let approval = waits.approval.unwrap();
    assert_eq!((approval.asked_at, approval.until), (epoch(), epoch().plus_seconds(3600)));
    let notices = stand(&host, &key).notices;
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].subject, "shop/r1: task ask waits for approval");
    let told = "release 1.2?\n\napprove: cauce approve shop/r1 ask\nreject:  cauce reject shop/r1 ask\nuntil:   1997-01-06T03:00:00.000000Z";
    assert_eq!(notices[0].message, told);

    tell(&host, &say(&key, true, "ana"));
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "ask:success build:success ship:success", "{:?}", ended.reasons());
    assert_eq!(output(&ended, "ship"), json!({"by": "ana", "word": "approved", "why": "as agreed"}));
    assert_eq!(audited(&host), [json!(["approve", "ana", "ask", {"comment": "as agreed", "generation": 1}])]);
    // Open, build, ship, Close, and four for the approval: its state, Begin, Ask, Finish.
    assert_eq!(host.transitions(), 8);
}

#[test]
fn a_no_is_what_on_reject_says_and_is_never_tried_again() {
    let cases = [
        ("on_reject: fail", "ask:failed build:success ship:upstream_failed"),
        ("on_reject: skip", "ask:skipped build:success ship:skipped"),
        ("on_reject: continue", "ask:success build:success ship:success"),
    ];
    for (more, expected) in cases {
        let (host, key) = started(&release(more), Script::default());
        pass(&host, 90);
        tell(&host, &say(&key, false, "eva"));
        assert!(settle(&host));
        let ended = stand(&host, &key);
        assert_eq!(ended.statuses(), expected, "{more}: {:?}", ended.reasons());
        let ask = &ended.tasks["ask"];
        assert_eq!(ask.reason.as_deref(), Some("rejected by eva: as agreed"), "{more}");
        assert_eq!(ask.attempts.len(), 1, "{more}");
        let class = ask.attempts[0].class.map(|class| class.as_str());
        assert_eq!(class, (more == "on_reject: fail").then_some("rejected"), "{more}");
        if more == "on_reject: continue" {
            assert_eq!(output(&ended, "ship")["word"], "rejected");
        }
    }
}

#[test]
fn without_an_answer_in_time_on_timeout_decides() {
    let cases = [
        ("on_timeout: fail", "failed", "nobody answered in time", 0),
        ("on_timeout: approve", "success", "approved by on_timeout", 1),
        ("on_timeout: reject", "failed", "rejected by on_timeout", 1),
        ("on_timeout: reject, on_reject: skip", "skipped", "rejected by on_timeout", 1),
    ];
    for (more, status, reason, entries) in cases {
        let (host, key) = started(&release(more), Script::default());
        assert!(settle(&host));
        let ask = asked(&host, &key);
        assert_eq!((ask.status.as_str(), ask.reason.as_deref()), (status, Some(reason)), "{more}");
        assert_eq!(ask.ended_at, Some(epoch().plus_seconds(3600)), "{more}");
        assert_eq!(audited(&host).len(), entries, "{more}");
        if entries == 0 {
            refused(&host, &say(&key, true, "ana"), "is failed (nobody answered in time)");
        }
    }
}

#[test]
fn the_first_answer_stands() {
    for first in [true, false] {
        let (host, key) = started(RELEASE, Script::default());
        refused(&host, &say(&key, first, "ana"), "is waiting: it does not yet wait for an answer");
        pass(&host, 90);
        let of = |task: &str| {
            Command::Approve(Approve {
                run_key: key.clone(),
                task: task.to_owned(),
                approved: true,
                by: "ana".into(),
                comment: String::new(),
            })
        };
        refused(&host, &of("ship"), "is no approval: it asks nobody");
        refused(&host, &of("none"), "shop/r1 has no task 'none'");
        let told = reply(&host, &say(&key, first, "ana"));
        let (same, other) = (say(&key, first, "eva"), say(&key, !first, "eva"));
        // Before the engine went on, and after all is over.
        for _ in 0..2 {
            assert_eq!(reply(&host, &same), told, "who says the same hears who was first");
            refused(&host, &other, if first { "was approved by ana" } else { "was rejected by ana" });
            assert!(settle(&host));
        }
        assert_eq!(audited(&host).len(), 1);
    }
}

#[test]
fn a_cancel_ends_the_wait_and_no_answer_comes_after_it() {
    let (host, key) = started(RELEASE, Script::default());
    pass(&host, 90);
    let cancel = Command::Cancel {
        run_key: key.clone(),
        generation: None,
        reason: "enough".into(),
        by: Some("ana".into()),
    };
    tell(&host, &cancel);
    refused(&host, &say(&key, true, "eva"), "is cancelled");
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "ask:cancelled build:success ship:cancelled", "{:?}", ended.reasons());
    refused(&host, &say(&key, true, "eva"), "is cancelled");
    assert_eq!(audited(&host), [] as [Json; 0]);
}

/// A cancel whose giver died before the task was told of it.
fn half_cancelled(host: &Sim, key: &RunKey) {
    let cancel = Command::Cancel {
        run_key: key.clone(),
        generation: None,
        reason: "enough".into(),
        by: Some("ana".into()),
    };
    for call in 1..100 {
        let faults = Faults::none();
        faults.crash_at(call, Moment::After);
        let table = Faulty::new(host.world().table.clone(), &faults);
        let now = host.world().clock.now();
        let other = self::host(table, host.world().objects.clone(), Script::default(), now);
        let died = other.world().clock.clone().block_on(faults.survive(other.execute(&cancel)));
        assert!(matches!(died, Some(Err(_))), "call {call}");
        if stand(host, key).run.cancel.is_some() {
            return;
        }
    }
    panic!("it never wrote");
}

#[test]
fn no_answer_comes_between_a_cancel_and_the_task_s_end() {
    let (host, key) = started(RELEASE, Script::default());
    pass(&host, 90);
    half_cancelled(&host, &key);
    assert_eq!(asked(&host, &key).status, TaskStatus::Running);
    refused(&host, &say(&key, true, "eva"), "waits no longer, its run is being cancelled: enough");

    // Nor one that was decided before the cancel and is written after it.
    let (host, key) = started(RELEASE, Script::default());
    pass(&host, 90);
    let clock = host.world().clock.clone();
    let decision = clock.block_on(decided(&host, &say(&key, true, "eva"))).unwrap();
    half_cancelled(&host, &key);
    let written = clock.block_on(host.world().table.write(&decision.writes, "token")).unwrap();
    assert!(matches!(written, Err(TableError::Condition { .. })), "{written:?}");
    assert_eq!(audited(&host), [] as [Json; 0]);
}

/// What would be done about a command, were it not for its write.
async fn decided(host: &Sim, command: &Command) -> Decision {
    let mut view = View::default();
    loop {
        match decide(command, &view, host.driver().settings(), host.world().clock.now()) {
            Ok(decision) => return decision,
            Err(Need::Items(keys)) => {
                for key in keys {
                    let item = host.world().table.get(&key).await.unwrap();
                    view.items.insert(key, item);
                }
            }
            Err(Need::Plan { pipeline, version }) => {
                let plan = host.driver().plan(&pipeline, &version).await.unwrap();
                view.plans.insert(version, plan);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The next generation of a run that ended badly.
fn rerun(host: &Sim, compiled: &Compiled, again: Again) {
    let trigger = Trigger { existing: Existing::Next(again), params: None, ..by_hand(compiled, "r1") };
    tell(host, &Command::Trigger(Box::new(trigger)));
}

#[test]
fn an_execution_stopped_from_outside_is_asked_anew_and_a_yes_is_kept() {
    let (above, _) = RELEASE.split_once("    pass: {output").unwrap();
    let yaml = format!("{above}    fail: {{message: not today}}\n");
    let compiled = compiled(&yaml);
    let (host, key) = started(&yaml, Script::default());
    pass(&host, 90);
    stop(&host, "approval", &child_execution_name(&key, 1, "ask", None), "somebody's hand");
    for command in events(&host) {
        tell(&host, &command);
    }
    assert!(settle(&host));
    assert_eq!(asked(&host, &key).status, TaskStatus::Failed);

    rerun(&host, &compiled, Again::Failed);
    pass(&host, 200);
    let waits = asked(&host, &key);
    assert_eq!((waits.status, waits.attempts.len()), (TaskStatus::Running, 2));
    assert_eq!(stand(&host, &key).notices.iter().filter(|n| n.event == "approval").count(), 2);
    tell(&host, &say(&key, true, "ana"));
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(
        (ended.tasks["ask"].status, ended.tasks["ship"].status),
        (TaskStatus::Success, TaskStatus::Failed)
    );

    // What was approved and succeeded stands; only what failed is done again.
    rerun(&host, &compiled, Again::Failed);
    assert!(settle(&host));
    assert_eq!(asked(&host, &key).attempts.len(), 2);
    rerun(&host, &compiled, Again::All);
    pass(&host, 600);
    assert_eq!(asked(&host, &key).status, TaskStatus::Running, "all tasks: it is asked again");
}

#[test]
fn of_two_tokens_the_newer_one_is_kept() {
    let (host, key) = started(RELEASE, Script::default());
    pass(&host, 90);
    let before = asked(&host, &key);
    let late = |fence: u64, order: &str| {
        Command::Ask(Ask {
            run_key: key.clone(),
            generation: 1,
            task: "ask".into(),
            fence,
            token: "late".into(),
            token_order: order.into(),
        })
    };
    // A repeat of an older request, and requests of another attempt.
    for command in
        [late(before.fence, "1997-01-06"), late(before.fence - 1, "9"), late(before.fence + 1, "9")]
    {
        tell(&host, &command);
        assert_eq!(asked(&host, &key), before);
    }
    tell(&host, &late(before.fence, "9"));
    assert_eq!(asked(&host, &key).token.as_deref(), Some("late"));
}

/// Another process with the same store: it can write an answer, and reach no token.
fn other_process(host: &Sim) -> Sim {
    let now = host.world().clock.now();
    self::host(host.world().table.clone(), host.world().objects.clone(), Script::default(), now)
}

#[test]
fn an_answer_given_in_another_process_is_heeded() {
    for approved in [true, false] {
        let (host, key) = started(RELEASE, Script::default());
        pass(&host, 90);
        tell(&other_process(&host), &say(&key, approved, "ana"));
        assert!(settle(&host));
        let ended = stand(&host, &key);
        assert_eq!(ended.tasks["ask"].status == TaskStatus::Success, approved, "{:?}", ended.reasons());
        let after = ended.tasks["ask"].ended_at.unwrap().micros_since(epoch());
        assert!(after <= 91_000_000, "it is heard of within a second: {after}");
    }
}

#[test]
fn an_answer_whose_giver_died_is_told_by_the_sweep() {
    // As it is on AWS: nobody looks for answers but who gives them.
    let compiled = compiled(RELEASE);
    let world =
        Simulated::new(MemoryTable::new(), MemoryObjects::default(), script(json!({}), json!({})), epoch());
    let machines = cauce_compiler::lifecycle::machines();
    let settings = Settings {
        documents: "s3://state/documents".into(),
        environment: Some("dev".into()),
        machines: machines.iter().map(|(kind, _)| ((*kind).to_owned(), (*kind).to_owned())).collect(),
        ..Settings::default()
    };
    let host: Sim = Host::new(world, settings, 1);
    for (kind, machine) in machines {
        host.machines().add(kind, &serde_json::to_value(&machine).unwrap()).unwrap();
    }
    let key = RunKey::new("shop", "r1");
    let clock = host.world().clock.clone();
    clock.block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
    tell(&host, &Command::Trigger(Box::new(by_hand(&compiled, "r1"))));
    pass(&host, 90);
    assert!(stand(&host, &key).notices[0].message.contains("cauce reject shop/r1 ask --env dev\n"));
    tell(&other_process(&host), &say(&key, true, "ana"));
    pass(&host, 900);
    assert_eq!(asked(&host, &key).status, TaskStatus::Running, "nobody has told the token");
    let report = sweep(&host);
    assert_eq!(report.lines, ["shop/r1: told ask its answer again"]);
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "ask:success build:success ship:success");
    // By its timeout, after an hour, it would have found the answer too.
    assert!(ended.run.ended_at.unwrap() <= epoch().plus_seconds(901), "{:?}", ended.run.ended_at);
}

#[test]
fn an_answer_that_no_token_hears_counts_when_the_wait_is_over() {
    let (host, key) = started(&release("on_timeout: reject"), Script::default());
    pass(&host, 90);
    // The token in the record is nobody's.
    let fence = asked(&host, &key).fence;
    let (run_key, task) = (key.clone(), "ask".to_owned());
    let (token, token_order) = ("nobody's".to_owned(), "9".to_owned());
    tell(&host, &Command::Ask(Ask { run_key, generation: 1, task, fence, token, token_order }));
    tell(&host, &say(&key, true, "ana"));
    assert!(settle(&host));
    let ask = asked(&host, &key);
    assert_eq!((ask.status, ask.ended_at), (TaskStatus::Success, Some(epoch().plus_seconds(3600))));
    assert_eq!(audited(&host).len(), 1);
}

/// A run whose engine, or whose approver, dies at a call; then another engine resumes, and the person asks how
/// it stands and answers again. `None`: nobody died.
fn die(compiled: &Compiled, engine: &Faults, person: &Faults, story: &str) -> Option<Ended> {
    let (table, objects) = (MemoryTable::new(), MemoryObjects::default());
    let key = RunKey::new("shop", "r1");
    let first = host(Faulty::new(table.clone(), engine), objects.clone(), Script::default(), epoch());
    let ana = host(Faulty::new(table.clone(), person), objects.clone(), Script::default(), epoch());
    let clock = first.world().clock.clone();
    let trigger = Command::Trigger(Box::new(by_hand(compiled, "r1")));
    let lived = clock.block_on(engine.survive(async {
        first.deploy(&deployment(compiled)).await.unwrap();
        let told = first.execute(&trigger).await;
        assert!(matches!(told, Ok(Reply::Ok(_))), "{story}: {told:?}");
        first.run(clock.until(epoch().plus_seconds(3))).await.unwrap();
    }));
    let answered = ana.world().clock.clone().block_on(person.survive(ana.execute(&say(&key, true, "ana"))));
    let lived = match lived {
        Some(Ok(())) => clock.block_on(engine.survive(async {
            first.run(clock.until(epoch().plus_seconds(6))).await.unwrap();
        })),
        died => died,
    };
    if matches!((&lived, &answered), (Some(Ok(())), Some(Ok(_)))) {
        return None;
    }
    let now = clock.now();
    drop((first, ana));

    let second: Sim = host(table, objects, Script::default(), now);
    let clock = second.world().clock.clone();
    clock.block_on(second.deploy(&deployment(compiled))).unwrap().unwrap();
    let there = clock.block_on(second.world().table.get(&run_item(&key))).unwrap().unwrap();
    let existing = match &there {
        // The trigger itself was lost: the person asks again.
        None => Some(Existing::Refuse),
        Some(_) => Some(Existing::Resume).filter(|_| !stand(&second, &key).run.status.is_terminal()),
    };
    if let Some(existing) = existing {
        let params = there.map_or(Some(json!({})), |_| None);
        let again = Trigger { existing, params, ..by_hand(compiled, "r1") };
        tell(&second, &Command::Trigger(Box::new(again)));
        pass(&second, 9);
    }
    if !stand(&second, &key).run.status.is_terminal() {
        let told = reply(&second, &say(&key, true, "ana"));
        assert!(matches!(told, Reply::Ok(_)), "{story}: {told:?}");
    }
    assert!(settle(&second), "{story}");
    assert_eq!(audited(&second).len(), 1, "{story}");
    Some(stand(&second, &key))
}

#[test]
fn whoever_dies_at_any_call_the_run_ends_as_was_answered() {
    let compiled = compiled(RELEASE);
    for (who, least) in [("engine", 40), ("person", 4)] {
        let mut deaths = 0;
        for moment in [Moment::Before, Moment::After] {
            for call in 1.. {
                let (engine, person) = (Faults::none(), Faults::none());
                let dying = if who == "engine" { &engine } else { &person };
                dying.crash_at(call, moment);
                let story = format!("the {who} at call {call} {moment:?}");
                let Some(ended) = die(&compiled, &engine, &person, &story) else { break };
                deaths += 1;
                let statuses = ended.statuses();
                assert_eq!(
                    statuses,
                    "ask:success build:success ship:success",
                    "{story}: {:?}",
                    ended.reasons()
                );
                assert_eq!(output(&ended, "ship")["by"], "ana", "{story}");
            }
        }
        assert!(deaths > least, "{deaths} deaths are too few to be at every call of the {who}");
    }
}

#[test]
fn lost_replies_throttles_and_conflicts_answer_once() {
    let compiled = compiled(RELEASE);
    let rates = Rates { throttled: 100, conflict: 50, lost_before: 50, lost_after: 80, stale: 0 };
    for seed in crate::seeds::of("lost_replies_throttles_and_conflicts_answer_once", 60) {
        let faults = Faults::seeded(seed, Rates::default());
        let host = host(
            Faulty::new(MemoryTable::new(), &faults),
            MemoryObjects::default(),
            Script::default(),
            epoch(),
        );
        let clock = host.world().clock.clone();
        let key = RunKey::new("shop", "r1");
        let approved = seed % 2 == 0;
        let (ended, entries) = clock
            .block_on(async {
                host.deploy(&deployment(&compiled)).await.unwrap();
                host.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await.unwrap();
                faults.set_rates(rates);
                // In bad weather its states retry for minutes; the person comes back until it waits.
                for minute in 1.. {
                    host.run(clock.until(epoch().plus_seconds(60 * minute))).await.unwrap();
                    if matches!(host.execute(&say(&key, approved, "ana")).await, Ok(Reply::Ok(_))) {
                        break;
                    }
                    assert!(minute < 60, "seed {seed}: it never waits");
                }
                host.run(std::future::pending()).await.unwrap();
                faults.set_rates(Rates::default());
                let day = audit_partition("1997-01-06");
                let page = host.world().table.query(&day, "", None, 1000).await.unwrap();
                (read(&host, &key).await, page.items)
            })
            .unwrap();
        let expected = if approved { "success" } else { "failed" };
        assert_eq!(ended.tasks["ask"].status.as_str(), expected, "seed {seed}: {:?}", ended.reasons());
        let entries: Vec<_> = entries.iter().map(|item| AuditRecord::from_item(item).unwrap()).collect();
        assert_eq!(answers(&entries).len(), 1, "seed {seed}");
    }
}
