//! `kill -9` at random moments, again and again, until the run is over; then an account of it by witnesses
//! that the engine has no hand in: what it had told by then, and a journal that the tasks themselves keep.
//!
//! `CAUCE_CYCLES=1000` kills more often than the 50 times of every test run, `CAUCE_SEED` elsewhere
//! (`make kill`). A moment is so many lines of the engine's talk and then a little; no assertion knows a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cauce_testkit::prng::Prng;
use serde_json::Value;

use crate::harness::{Project, is_alive};

/// A service goes on with what a kill has interrupted, as `resume` does: its tasks may start again whatever their
/// retries. Every task leaves a child behind that nobody but the engine ends. It says in the journal when an attempt
/// begins, with its process and that child, and when it has ended; both are on the disk before it goes on.
const MANY: &str = r#"
pipeline: p
defaults: {retry: {retries: 0, restartable: true}, container: {image: host}}
tasks:
  a1: {container: &do {command: [sh, task.sh, "1"]}, returns: {n: integer}}
  a2: {container: *do, returns: {n: integer}}
  a3: {container: *do, returns: {n: integer}}
  b1: {needs: [a1, a2], container: *do, returns: {n: integer}}
  b2: {needs: [a2, a3], container: *do, returns: {n: integer}}
  b3: {needs: [a1, a3], container: *do, pools: {one: 1}, returns: {n: integer}}
  flaky: {needs: [b1], container: {command: [sh, task.sh, "1", fails]}, retry: {retries: 1, delay: 0s, restartable: true}, returns: {n: integer}}
  items: {needs: [b2], map: {over: "{{ [1, 2, 3] }}"}, container: *do, pools: {one: 1}}
  choose: {needs: [b3], branch: [{if: "{{ outputs.b3.n == 1 }}", to: taken}, {else: refused}]}
  taken: {needs: [choose], container: *do, returns: {n: integer}}
  refused: {needs: [choose], container: *do}
  other: {needs: [b1], pipeline: {name: other, logical_date: "{{ ds }}", wait: true}}
  last:
    needs: [flaky, items, taken, other]
    container: {command: [sh, task.sh, "{{ outputs.flaky.n + outputs.taken.n }}"]}
    returns: {n: integer}
"#;

const OTHER: &str = r#"
pipeline: other
defaults: {retry: {retries: 0, restartable: true}}
tasks:
  within: {container: {image: host, command: [sh, task.sh, "1"]}, returns: {n: integer}}
"#;

const PROJECT: &str = "images: {host: {local: []}}\npools: {one: 1}\n";

const TASK: &str = r#"
who="$CAUCE_PIPELINE/$CAUCE_RUN_ID $CAUCE_TASK${CAUCE_INDEX:+[$CAUCE_INDEX]} $CAUCE_ATTEMPT"
sleep 600 > left 2>&1 &
echo "began $who $$ $!" >> journal; sync journal
echo "{\"n\": $1}" > "$CAUCE_OUTPUT_FILE"
test "$2" = fails && test "$CAUCE_ATTEMPT" = 1 && exit 1
echo "ended $who $$ $!" >> journal; sync journal
"#;

/// A line of the journal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    /// `p/<run id> <task>`, with the item's index.
    task: String,
    attempt: u32,
    has_ended: bool,
    processes: [String; 2],
}

fn journal(project: &Project) -> Vec<Entry> {
    let read = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [how, run, task, attempt, own, child] = words[..] else { panic!("a torn line: {line}") };
        Entry {
            task: format!("{run} {task}"),
            attempt: attempt.parse().unwrap(),
            has_ended: how == "ended",
            processes: [own, child].map(str::to_owned),
        }
    };
    project.lines("journal").iter().map(read).collect()
}

/// What the store says of a run, when it is there.
fn shown(project: &Project, run: &str) -> Option<Value> {
    let answer = project.cauce(&["show", run, "--json"]);
    if answer.exit == Some(2) {
        let is_unknown = ["no runs yet", "there is no run"].iter().any(|words| answer.talk.contains(words));
        assert!(is_unknown, "{}", answer.talk);
        return None;
    }
    Some(answer.exits(0).json())
}

/// How far the run was when its engine was killed.
fn phase(run: Option<&Value>) -> &'static str {
    let Some(run) = run else { return "before the run was there" };
    let tasks = run["tasks"].as_object().unwrap();
    let count = |status: &str| tasks.values().filter(|task| task["status"] == status).count();
    let over = count("success") + count("skipped");
    match run["status"].as_str().unwrap() {
        "success" => "after its end",
        _ if over == tasks.len() => "before the run was closed",
        _ if count("running") + count("retrying") > 0 => "while tasks ran",
        _ if over == 0 => "before the first task",
        _ => "between two tasks",
    }
}

/// What must never happen, counted; and how often what may.
#[derive(Default, Debug)]
struct Account {
    kills: u32,
    runs: u32,
    phases: BTreeMap<&'static str, u32>,
    /// Endings that the engine had told and the store had, task by task.
    told: usize,
    /// Attempts that had ended and of which nobody had been told: they may be done again.
    again: usize,
}

/// One run, killed until it is over or for so many times.
struct Passage<'a> {
    project: Project,
    run: String,
    prng: &'a mut Prng,
    /// Tasks that were told as ended well, with the attempts that they had begun by then.
    done: BTreeMap<String, u32>,
}

impl Passage<'_> {
    fn attempts(&self, task: &str) -> u32 {
        journal(&self.project).iter().filter(|entry| entry.task == task && !entry.has_ended).count() as u32
    }

    /// Starts an engine and kills it; whether the run is over.
    fn cycle(&mut self, account: &mut Account) -> bool {
        let day = self.run.split('/').next_back().unwrap().to_owned();
        let is_there = shown(&self.project, &self.run).is_some();
        let by_service = is_there && self.prng.below(3) == 0;
        let args: Vec<&str> = match (is_there, by_service) {
            (false, _) => vec!["run", "p.yaml", "--logical-date", &day],
            (true, true) => vec!["up"],
            (true, false) => vec!["resume", &self.run],
        };
        // A service tells only of runs, so it is left alone for a little longer.
        let (lines, micros) = if by_service { (2, 60_000) } else { (self.prng.below(20), 8_000) };
        let then = Duration::from_micros(self.prng.below(micros));
        let (said, _) = self.project.start(&args).killed_after(lines as usize, then);
        account.kills += 1;
        let run = shown(&self.project, &self.run);
        *account.phases.entry(phase(run.as_ref())).or_default() += 1;
        self.hear(&said, by_service, run.as_ref(), account);
        run.is_some_and(|run| run["status"] == "success")
    }

    /// Whoever was told that a task has ended well, by the engine or by the store, may rely on it.
    fn hear(&mut self, said: &[String], by_service: bool, run: Option<&Value>, account: &mut Account) {
        let mut done: BTreeSet<String> = BTreeSet::new();
        let lines =
            said.iter().filter(|_| !by_service).filter_map(|line| line.trim_end().strip_suffix(" success"));
        for task in lines.filter_map(|line| line.split(' ').next_back()) {
            let status = run.and_then(|run| run["tasks"].get(task.split('[').next().unwrap()));
            let is_kept = status.is_some_and(|kept| task.contains('[') || kept["status"] == "success");
            assert!(is_kept, "'{task} success' was told and is lost: {run:?}");
            done.insert(format!("{} {task}", self.run));
        }
        let tasks = run.into_iter().flat_map(|run| run["tasks"].as_object().unwrap());
        done.extend(
            tasks
                .filter(|(_, task)| task["status"] == "success")
                .map(|(name, _)| format!("{} {name}", self.run)),
        );
        for task in done {
            let begun = self.attempts(&task);
            let before = *self.done.entry(task.clone()).or_insert(begun);
            assert_eq!(before, begun, "{task} had succeeded, and began again");
        }
        account.told = account.told.max(self.done.len());
    }

    /// The run to its end, and the whole account of it.
    fn settle(&mut self, account: &mut Account) {
        let run = shown(&self.project, &self.run);
        if run.is_none_or(|run| run["status"] != "success") {
            let day = self.run.split('/').next_back().unwrap().to_owned();
            let first = shown(&self.project, &self.run).is_none();
            let args: Vec<&str> = match first {
                true => vec!["run", "p.yaml", "--logical-date", &day],
                false => vec!["resume", &self.run],
            };
            self.project.cauce(&args).exits(0);
        }
        let run = shown(&self.project, &self.run).unwrap();
        self.hear(&[], true, Some(&run), account);
        // As without kills: every task, every output.
        let expect = |task: &str| match task {
            "refused" => ("skipped", Value::Null),
            "last" => ("success", 2.into()),
            "choose" | "items" | "other" => ("success", Value::Null),
            _ => ("success", 1.into()),
        };
        for (name, task) in run["tasks"].as_object().unwrap() {
            let (status, n) = expect(name);
            assert_eq!(task["status"], status, "{name}: {run}");
            assert!(n.is_null() || task["output"]["n"] == n, "{name} returned {}", task["output"]);
        }
        let entries = journal(&self.project);
        let mut begun: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in &entries {
            match begun.get(entry.task.as_str()) {
                _ if !entry.has_ended => {
                    let before = begun.insert(&entry.task, entry).map_or(0, |before| before.attempt);
                    assert!(entry.attempt > before, "attempt {before} and then {entry:?}: two processes");
                    let is_again = entries
                        .iter()
                        .any(|other| other.has_ended && other.task == entry.task && other.attempt == before);
                    account.again += usize::from(is_again);
                }
                Some(now) => assert_eq!(now.attempt, entry.attempt, "{entry:?} went on beside {now:?}"),
                None => panic!("{entry:?} never began"),
            }
        }
        let root = self.project.path("").canonicalize().unwrap();
        for (entry, process) in
            entries.iter().flat_map(|entry| entry.processes.iter().map(move |id| (entry, id)))
        {
            // A number may have been given anew, to a stranger.
            let is_ours = std::fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|here| here == root);
            assert!(!(is_ours && is_alive(process)), "process {process} of {entry:?} has survived");
        }
        for task in
            ["a1", "a2", "a3", "b1", "b2", "b3", "flaky", "items[0]", "items[1]", "items[2]", "taken", "last"]
        {
            let task = format!("{} {task}", self.run);
            assert!(begun.contains_key(task.as_str()), "{task} never began");
        }
        assert!(!begun.keys().any(|task| task.ends_with(" refused")), "a task that was not chosen ran");
    }
}

#[expect(clippy::disallowed_methods, reason = "how long to go on, and where to begin")]
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn whenever_an_engine_is_killed_nothing_told_is_lost_and_nothing_done_is_done_again() {
    let (cycles, seed) = (number("CAUCE_CYCLES", 50) as u32, number("CAUCE_SEED", 1));
    let mut account = Account::default();
    let mut told = 0;
    let mut prng = Prng::new(seed);
    while account.kills < cycles {
        let project = Project::of(MANY);
        project.write("other.yaml", OTHER);
        project.write("cauce.yaml", PROJECT);
        project.write("task.sh", TASK);
        let mut passage =
            Passage { project, run: "p/2026-01-05".to_owned(), prng: &mut prng, done: BTreeMap::new() };
        while account.kills < cycles && !passage.cycle(&mut account) {}
        passage.settle(&mut account);
        told += std::mem::take(&mut account.told);
        account.runs += 1;
    }
    println!(
        "seed {seed}: {} kills over {} runs, {:?}; {told} endings told, 0 lost, 0 done again; {} attempts whose end \
         nobody had been told were made again; no process survived",
        account.kills, account.runs, account.phases, account.again
    );
    assert!(account.phases.contains_key("while tasks ran") && told > account.runs as usize, "{account:?}");
}

/// Of two that start at once one drives the run; the other says so, or finds it over.
#[test]
fn of_two_engines_on_one_folder_one_drives_the_run() {
    let mut refused = 0;
    for round in 0..5 {
        let project = Project::of(MANY);
        project.write("other.yaml", OTHER);
        project.write("cauce.yaml", PROJECT);
        project.write("task.sh", TASK);
        project
            .start(&["run", "p.yaml", "--logical-date", "2026-01-05"])
            .killed_after(round + 2, Duration::ZERO);
        let run = "p/2026-01-05";
        let both = [project.start(&["resume", run]), project.start(&["resume", run])];
        let answers = both.map(|engine| engine.answer());
        let good = answers.iter().filter(|answer| answer.exit == Some(0)).count();
        assert_eq!(good, 1, "{:?}", answers.map(|answer| (answer.exit, answer.talk)));
        for answer in answers.into_iter().filter(|answer| answer.exit != Some(0)) {
            // Who comes when the other has ended hears of that.
            if answer.exit == Some(2) {
                answer.says("has ended");
            } else {
                answer.exits(3).says("is being driven by");
                refused += 1;
            }
        }
        let mut prng = Prng::new(0);
        let mut passage = Passage { project, run: run.to_owned(), prng: &mut prng, done: BTreeMap::new() };
        passage.settle(&mut Account::default());
    }
    assert!(refused > 0, "they never met");
}
