//! Random graphs, rules, outcomes and durations against a model of what the documentation says, written
//! without any of the product's code: statuses, start times to the microsecond, the run's status.

use crate::world::{by_hand, compiled, deployment, epoch, host, run};
use cauce_host::simulation::{Ending, MemoryObjects, Script};
use cauce_local::memory::MemoryTable;
use cauce_testkit::prng::Prng;
use std::collections::BTreeMap;

const RULES: [&str; 12] = [
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_skipped",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "always",
];

#[derive(Debug)]
struct Task {
    needs: Vec<usize>,
    rule: &'static str,
    seconds: i64,
    fails: bool,
    allowed: bool,
    /// The task that it stands in for.
    stands_in: Option<usize>,
}

/// How a task ends: when it started (if it ran), when it ended, and as what: S, F, K (skipped) or U
/// (upstream failed).
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    started: Option<i64>,
    at: i64,
    status: char,
    /// As those below see it: an allowed failure is a success.
    counted: char,
}

/// The documentation's table of rules. Returns the moment of the decision and `R`, `K` or `U`.
fn decide(rule: &str, ups: &[End]) -> (i64, char) {
    let last = ups.iter().map(|up| up.at).max().unwrap_or(0);
    if ups.is_empty() || rule == "always" {
        return (0, 'R');
    }
    let count = |wanted: &str| ups.iter().filter(|up| wanted.contains(up.counted)).count();
    let first = |wanted: &str| ups.iter().filter(|up| wanted.contains(up.counted)).map(|up| up.at).min();
    let all = ups.len();
    let yes = |holds: bool, otherwise: char| (last, if holds { 'R' } else { otherwise });
    match rule {
        "all_success" => yes(count("S") == all, if count("FU") > 0 { 'U' } else { 'K' }),
        "all_failed" => yes(count("FU") == all, 'K'),
        "all_done" => (last, 'R'),
        "all_done_min_one_success" if count("K") > 0 => (last, 'K'),
        "all_done_min_one_success" => yes(count("S") > 0, 'U'),
        "all_skipped" => yes(count("K") == all, 'K'),
        "one_success" => match first("S") {
            Some(at) => (at, 'R'),
            None => (last, if count("K") == all { 'K' } else { 'U' }),
        },
        "one_failed" => first("FU").map_or((last, 'K'), |at| (at, 'R')),
        "one_done" => first("SF").map_or((last, 'K'), |at| (at, 'R')),
        "none_failed" => yes(count("FU") == 0, 'U'),
        "none_failed_min_one_success" if count("FU") > 0 => (last, 'U'),
        "none_failed_min_one_success" => yes(count("S") > 0, 'K'),
        "none_skipped" => yes(count("K") == 0, 'K'),
        other => unreachable!("no rule {other}"),
    }
}

/// The fallback that made a failure good: the one that stands in, or who stands in for that.
fn made_good(tasks: &[Task], ends: &[End], task: usize) -> Option<usize> {
    let next = (0..ends.len()).find(|other| tasks[*other].stands_in == Some(task))?;
    match ends[next].status {
        _ if !"FU".contains(ends[task].status) => None,
        'S' => Some(next),
        _ => made_good(tasks, ends, next),
    }
}

/// What a rule counts: a task and those that stand in for it are one, where all of them are needed; the
/// one that ended last decides when. Early rules look at each by itself.
fn upstreams(tasks: &[Task], ends: &[End], task: &Task) -> Vec<End> {
    let needs: Vec<usize> = task.stands_in.into_iter().chain(task.needs.iter().copied()).collect();
    if ["one_success", "one_failed", "one_done"].contains(&task.rule) {
        return needs.iter().map(|up| ends[*up]).collect();
    }
    let first = needs.iter().filter(|up| !tasks[**up].stands_in.is_some_and(|other| needs.contains(&other)));
    let one = |up: &usize| {
        let mut end = ends[*up];
        let mut last = *up;
        while let Some(next) = needs.iter().find(|other| tasks[**other].stands_in == Some(last)) {
            last = *next;
            end.at = end.at.max(ends[last].at);
            if "FU".contains(end.counted) && ends[last].status == 'S' {
                end.counted = 'S';
            }
        }
        end
    };
    first.map(one).collect()
}

fn model(tasks: &[Task]) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    for task in tasks {
        let ups = upstreams(tasks, &ends, task);
        let (at, verdict) = decide(task.rule, &ups);
        let (started, at, status) = match verdict {
            'R' => (Some(at), at + task.seconds * 1_000_000, if task.fails { 'F' } else { 'S' }),
            other => (None, at, other),
        };
        let counted = if task.allowed && "FU".contains(status) { 'S' } else { status };
        ends.push(End { started, at, status, counted });
    }
    ends
}

fn run_status(tasks: &[Task], ends: &[End]) -> &'static str {
    let counts = |at: &usize| {
        "FU".contains(ends[*at].status) && !tasks[*at].allowed && made_good(tasks, ends, *at).is_none()
    };
    if (0..tasks.len()).any(|at| counts(&at)) {
        return "failed";
    }
    if ends.iter().all(|end| end.status == 'K') { "skipped" } else { "success" }
}

fn random(prng: &mut Prng) -> Vec<Task> {
    let count = 2 + prng.below(13) as usize;
    let density = 1 + prng.below(4);
    let early = prng.below(3) == 0;
    let stand_ins = prng.below(2) == 0;
    let mut tasks: Vec<Task> = Vec::new();
    for task in 0..count {
        let free = |other: &usize, tasks: &[Task]| {
            !tasks[*other].allowed && tasks.iter().all(|task| task.stands_in != Some(*other))
        };
        let of = (task > 0).then(|| prng.below(task as u64) as usize).filter(|other| free(other, &tasks));
        if let Some(other) = of.filter(|_| stand_ins && prng.below(4) == 0) {
            tasks.push(Task {
                needs: Vec::new(),
                rule: "all_failed",
                seconds: prng.below(20) as i64,
                fails: prng.below(3) == 0,
                allowed: false,
                stands_in: Some(other),
            });
            continue;
        }
        tasks.push({
            let mut needs: Vec<usize> = (0..task).filter(|_| prng.below(8) < density).collect();
            needs.truncate(6);
            let rule = match prng.below(4) {
                _ if needs.is_empty() => "all_success",
                0 | 1 => RULES[prng.below(12) as usize],
                2 if early => RULES[5 + prng.below(3) as usize],
                _ => "all_success",
            };
            Task {
                needs,
                rule,
                seconds: prng.below(20) as i64,
                fails: prng.below(5) == 0,
                allowed: prng.below(8) == 0,
                stands_in: None,
            }
        });
    }
    tasks
}

fn yaml(tasks: &[Task]) -> String {
    let mut text = String::from("pipeline: random\ntasks:\n");
    for (number, task) in tasks.iter().enumerate() {
        if let Some(other) = task.stands_in {
            text.push_str(&format!(
                "  t{number}: {{fallback_for: t{other}, container: {{image: x, command: [run]}}}}\n"
            ));
            continue;
        }
        let needs: Vec<String> = task.needs.iter().map(|up| format!("t{up}")).collect();
        text.push_str(&format!(
            "  t{number}: {{needs: [{}], trigger_rule: {}, allow_failure: {}, container: {{image: x, command: [run]}}}}\n",
            needs.join(", "),
            task.rule,
            task.allowed
        ));
    }
    text
}

#[test]
fn random_pipelines_end_as_the_documentation_says() {
    let mut ran = 0;
    let mut good = 0;
    for seed in 0..crate::faults::seeds(400) {
        let tasks = random(&mut Prng::new(seed));
        let expected = model(&tasks);
        let script = Script {
            durations: each(&tasks, |task| vec![task.seconds * 1_000_000]),
            outcomes: each(&tasks, |task| {
                vec![if task.fails { Ending::Exit(1) } else { Ending::Success(serde_json::json!({})) }]
            }),
        };
        let text = yaml(&tasks);
        let story = format!("seed {seed}\n{text}{tasks:#?}");
        let compiled = compiled(&text);
        let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
        host.world().clock.clone().block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
        let ended = run(&host, by_hand(&compiled, "r1")).unwrap_or_else(|error| panic!("{error}\n{story}"));
        for (number, end) in expected.iter().enumerate() {
            let name = format!("t{number}");
            let status = match end.status {
                'S' => "success",
                'F' => "failed",
                'K' => "skipped",
                _ => "upstream_failed",
            };
            assert_eq!(ended.tasks[&name].status.as_str(), status, "{name}\n{story}");
            let started =
                ended.ran.iter().find(|ran| ran.task == name).map(|ran| ran.started_at.micros_since(epoch()));
            assert_eq!(started, end.started, "start of {name}\n{story}");
            ran += usize::from(started.is_some());
        }
        assert_eq!(ended.run.status.as_str(), run_status(&tasks, &expected), "{story}");
        good += (0..tasks.len()).filter(|task| made_good(&tasks, &expected, *task).is_some()).count();
    }
    assert!(good > 20, "only {good} failures were made good");
    assert!(ran > 1000, "only {ran} tasks ran");
}

fn each<T>(tasks: &[Task], of: impl Fn(&Task) -> T) -> BTreeMap<String, T> {
    tasks.iter().enumerate().map(|(number, task)| (format!("t{number}"), of(task))).collect()
}
