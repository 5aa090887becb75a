//! Of attempts, their programs and their tokens.

use super::{
    HAND, again, bad, begin, begin_as, ends_above_its_tasks, finish, item, key, open, program, reconciled,
    stand, story, task, tell, to_below, told,
};
use crate::rivals::compiled;
use crate::world::by_hand;
use cauce_engine::command::{Again, ExecutionEnd, Observed, Open};
use cauce_engine::{Command, Reply};
use cauce_model::record::{TaskRecord, gate_item};
use cauce_model::{RunStatus, TaskStatus};
use cauce_ports::Clock as _;
use serde_json::json;

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
