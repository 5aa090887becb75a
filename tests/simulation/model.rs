//! What the documentation says of rules, retries and statuses, written without any of the product's code:
//! `tests/architecture.rs` holds that no crate of ours is named here.

/// Every trigger rule.
pub(crate) const RULES: [&str; 12] = [
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

/// The rules that do not wait until all upstreams have ended.
pub(crate) const EARLY: [&str; 4] = ["one_success", "one_failed", "one_done", "always"];

/// A task of a random pipeline. Each needs only tasks before it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) needs: Vec<usize>,
    pub(crate) rule: &'static str,
    /// How long each attempt takes.
    pub(crate) seconds: i64,
    /// So many attempts fail before one succeeds.
    pub(crate) failures: u32,
    pub(crate) retries: u32,
    /// Whether its attempts fail before the program starts: then the other budget is charged.
    pub(crate) never_starts: bool,
    pub(crate) allowed: bool,
    /// Whether its `if` is false: it is skipped where its rule lets it run.
    pub(crate) unwanted: bool,
    /// The task that it stands in for.
    pub(crate) stands_in: Option<usize>,
    /// Of a mapped task, in the place of `failures`.
    pub(crate) items: Option<Items>,
    /// The setup whose work it takes away.
    pub(crate) takes_away: Option<usize>,
    /// Of a branch, which takes no time and cannot fail: the direct downstreams that it leads to.
    pub(crate) leads_to: Option<Vec<usize>>,
}

/// One attempt after another for each of them, so many items side by side.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    /// So many attempts of each item fail before one succeeds.
    pub(crate) failures: Vec<u32>,
    /// `max_concurrency`.
    pub(crate) at_once: usize,
    /// `tolerated_failures`; below zero, none of them can make the task succeed.
    pub(crate) tolerated: i64,
}

/// Attempts that may follow failures in which the program never started.
const INFRASTRUCTURE_RETRIES: u32 = 5;

/// The pause between two attempts, in seconds.
pub(crate) const PAUSE: i64 = 5;

impl Task {
    /// How many attempts it takes, those of all of its items.
    pub(crate) fn attempts(&self) -> u32 {
        let all = self.items.as_ref().map_or(std::slice::from_ref(&self.failures), |items| &items.failures);
        all.iter().map(|failures| self.attempts_of(*failures).0).sum()
    }

    /// How many attempts it takes where so many fail, and whether the last one succeeds.
    fn attempts_of(&self, failures: u32) -> (u32, bool) {
        let budget = if self.never_starts { INFRASTRUCTURE_RETRIES } else { self.retries };
        (failures.min(budget) + 1, failures <= budget)
    }

    /// How many seconds it takes once its rule lets it run, and as what it ends.
    fn runs(&self) -> (i64, char) {
        let takes = |failures: u32| i64::from(self.attempts_of(failures).0) * (self.seconds + PAUSE) - PAUSE;
        let succeeds = |failures: u32| self.attempts_of(failures).1;
        match &self.items {
            None if self.leads_to.is_some() => (0, 'S'),
            None => (takes(self.failures), if succeeds(self.failures) { 'S' } else { 'F' }),
            Some(items) if items.failures.is_empty() => (0, 'K'),
            Some(items) => {
                // Whoever is free first takes the next item.
                let mut free = vec![0; items.at_once];
                for failures in &items.failures {
                    if let Some(first) = free.iter_mut().min() {
                        *first += takes(*failures);
                    }
                }
                let failed = items.failures.iter().filter(|failures| !succeeds(**failures)).count();
                (
                    free.into_iter().max().unwrap_or(0),
                    if failed as i64 <= items.tolerated { 'S' } else { 'F' },
                )
            }
        }
    }
}

/// How a task ends: when it started (if it ran), when it ended, and as what: S, F, K (skipped) or U
/// (upstream failed).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    /// Of its first attempt, in microseconds.
    pub(crate) started: Option<i64>,
    pub(crate) at: i64,
    pub(crate) status: char,
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
pub(crate) fn made_good(tasks: &[Task], ends: &[End], task: usize) -> Option<usize> {
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

/// Whether a branch above the task took another way: one that succeeded, and did not name it or anything that
/// leads to it. What else became of the upstreams does not matter then.
fn passed_by(tasks: &[Task], ends: &[End], task: usize) -> bool {
    let branches = tasks[task].needs.iter().filter(|up| ends[**up].status == 'S');
    branches.filter_map(|up| tasks[*up].leads_to.as_deref()).any(|chosen| !reached(tasks, chosen)[task])
}

/// Which tasks are among these or below them.
fn reached(tasks: &[Task], from: &[usize]) -> Vec<bool> {
    let mut reached = vec![false; tasks.len()];
    for at in 0..tasks.len() {
        let above = tasks[at].needs.iter().chain(&tasks[at].stands_in);
        reached[at] = from.contains(&at) || above.into_iter().any(|up| reached[*up]);
    }
    reached
}

/// Which tasks wait for a setup in every generation: those below it on ways without a rule that may be decided early.
pub(crate) fn waits_for(tasks: &[Task], setup: usize) -> Vec<bool> {
    let mut waits = vec![false; tasks.len()];
    for (at, task) in tasks.iter().enumerate().filter(|(_, task)| !EARLY.contains(&task.rule)) {
        waits[at] = task.needs.iter().any(|up| *up == setup || waits[*up]);
    }
    waits
}

/// The documentation's word on a teardown: it comes last of all that its setup lies above, however they ended,
/// and is skipped where nothing was set up.
fn takes_away(tasks: &[Task], ends: &[End], setup: usize) -> (i64, char) {
    let users = reached(tasks, &[setup]).into_iter().zip(ends).filter(|(uses, _)| *uses);
    let last = users.map(|(_, end)| end.at).max().unwrap_or(0);
    (last, if ends[setup].status == 'S' { 'R' } else { 'K' })
}

/// The verdicts that each rule can come to: the rows of the table.
pub(crate) const ROWS: [(&str, &str); 12] = [
    ("all_success", "RUK"),
    ("all_failed", "RK"),
    ("all_done", "R"),
    ("all_done_min_one_success", "RKU"),
    ("all_skipped", "RK"),
    ("one_success", "RKU"),
    ("one_failed", "RK"),
    ("one_done", "RK"),
    ("none_failed", "RU"),
    ("none_failed_min_one_success", "RUK"),
    ("none_skipped", "RK"),
    ("always", "R"),
];

/// An error in a row of the table: this rule says the second where it has to say the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Error(pub(crate) &'static str, pub(crate) char, pub(crate) char);

/// Every error that a row can have.
pub(crate) fn errors() -> impl Iterator<Item = Error> {
    let of = |(rule, verdicts): (&'static str, &'static str)| {
        let wrong = move |right: char| {
            "RKU".chars().filter(move |other| *other != right).map(move |other| Error(rule, right, other))
        };
        verdicts.chars().flat_map(wrong)
    };
    ROWS.into_iter().flat_map(of)
}

/// How every task ends, in the order of the tasks, with unlimited slots.
pub(crate) fn model(tasks: &[Task]) -> Vec<End> {
    with_error(tasks, None)
}

/// The same by a table with an error.
pub(crate) fn with_error(tasks: &[Task], error: Option<Error>) -> Vec<End> {
    after(tasks, &[], &[], error)
}

/// What `cauce rerun` runs again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rerun {
    /// What did not succeed, and all below it.
    Failed,
    /// One task, and all below it.
    Below(usize),
    /// One task.
    Task(usize),
    /// One item of a mapped task.
    Item(usize, usize),
}

/// Which tasks run again. Where one does between a setup and its teardown, both of them do.
pub(crate) fn again(tasks: &[Task], ends: &[End], rerun: Rerun) -> Vec<bool> {
    let mut again = match rerun {
        Rerun::Failed => {
            let bad: Vec<usize> = (0..tasks.len()).filter(|at| "FU".contains(ends[*at].status)).collect();
            reached(tasks, &bad)
        }
        Rerun::Below(task) => reached(tasks, &[task]),
        Rerun::Task(task) | Rerun::Item(task, _) => (0..tasks.len()).map(|at| at == task).collect(),
    };
    for (teardown, task) in tasks.iter().enumerate() {
        let Some(setup) = task.takes_away else { continue };
        if reached(tasks, &[setup]).into_iter().zip(&again).any(|(uses, again)| uses && *again) {
            again[setup] = true;
            again[teardown] = true;
        }
    }
    again
}

/// The tasks with what is left of them to do in a rerun. Of what failed: an item that succeeded on the first
/// `day` stays as it is, unless the whole task did or what it works on is made anew. Of one item: all others stay
/// as they are, also those that failed.
pub(crate) fn left(tasks: &[Task], day: &[Task], ends: &[End], rerun: Rerun) -> Vec<Task> {
    let mut left = tasks.to_vec();
    if let Rerun::Item(task, item) = rerun
        && let (Some(items), Some(before)) = (&mut left[task].items, &day[task].items)
    {
        let others = (0..before.failures.len()).filter(|other| *other != item);
        let failed = others.filter(|other| !day[task].attempts_of(before.failures[*other]).1);
        items.tolerated -= failed.count() as i64;
        items.failures = vec![items.failures[item]];
    }
    let Rerun::Failed = rerun else { return left };
    let bad: Vec<usize> = (0..tasks.len()).filter(|at| "FU".contains(ends[*at].status)).collect();
    let again = reached(tasks, &bad);
    for (number, task) in day.iter().enumerate() {
        let anew = ends[number].status == 'S' || task.needs.iter().any(|up| again[*up]);
        if let (Some(items), Some(before), Some(_), false) =
            (&mut left[number].items, &task.items, ends[number].started, anew)
        {
            let each = items.failures.iter().zip(&before.failures);
            let failed = each.filter(|(_, before)| !task.attempts_of(**before).1);
            items.failures = failed.map(|(failures, _)| *failures).collect();
        }
    }
    left
}

/// How every task ends in a rerun, in which those that are not among `again` keep their `ends`.
pub(crate) fn rerun(tasks: &[Task], ends: &[End], again: &[bool]) -> Vec<End> {
    after(tasks, ends, again, None)
}

fn after(tasks: &[Task], before: &[End], again: &[bool], error: Option<Error>) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    for (number, task) in tasks.iter().enumerate() {
        if let (Some(end), Some(false)) = (before.get(number), again.get(number)) {
            ends.push(End { started: None, at: 0, ..*end });
            continue;
        }
        let decided = match task.takes_away {
            Some(setup) => takes_away(tasks, &ends, setup),
            None => decide(task.rule, &upstreams(tasks, &as_they_count(tasks, before, &ends, again), task)),
        };
        let (at, verdict) = match (decided, error) {
            ((at, right), Some(Error(rule, wanted, wrong))) if task.rule == rule && right == wanted => {
                (at, wrong)
            }
            (decided, _) => decided,
        };
        let has_program =
            task.leads_to.is_none() && task.items.as_ref().is_none_or(|items| !items.failures.is_empty());
        let (started, at, status) = match verdict {
            _ if passed_by(tasks, &ends, number) => (None, at, 'K'),
            'R' if task.unwanted => (None, at, 'K'),
            'R' => {
                let (takes, status) = task.runs();
                (has_program.then_some(at), at + takes * 1_000_000, status)
            }
            other => (None, at, other),
        };
        let counted = if task.allowed && "FU".contains(status) { 'S' } else { status };
        ends.push(End { started, at, status, counted });
    }
    ends
}

/// The ends so far, as those below count them: one that was kept worked on what a setup had made, which in the rerun
/// has made nothing. One that ran though its setup had made nothing stands as it did.
fn as_they_count(tasks: &[Task], before: &[End], ends: &[End], again: &[bool]) -> Vec<End> {
    let mut counted = ends.to_vec();
    for setup in tasks.iter().filter_map(|task| task.takes_away).filter(|setup| *setup < ends.len()) {
        let had_made = before.get(setup).is_some_and(|end| end.status == 'S');
        if again.get(setup) != Some(&true) || !had_made || ends[setup].status == 'S' {
            continue;
        }
        // A fallback stands on its own.
        let mut users = vec![false; tasks.len()];
        for at in 0..tasks.len() {
            users[at] = tasks[at].needs.iter().any(|up| *up == setup || users[*up]);
        }
        for at in (0..ends.len()).filter(|at| users[*at] && !again[*at]) {
            counted[at].counted = match ends[setup].status {
                'K' => 'K',
                _ if tasks[at].allowed => 'S',
                _ => 'U',
            };
        }
    }
    counted
}

/// The run's status.
pub(crate) fn run_status(tasks: &[Task], ends: &[End]) -> &'static str {
    let counts = |at: &usize| {
        let is_cleared = tasks[*at].allowed || tasks[*at].takes_away.is_some();
        "FU".contains(ends[*at].status) && !is_cleared && made_good(tasks, ends, *at).is_none()
    };
    if (0..tasks.len()).any(|at| counts(&at)) {
        return "failed";
    }
    if ends.iter().all(|end| end.status == 'K') { "skipped" } else { "success" }
}

/// A status as the product writes it.
pub(crate) fn word(status: char) -> &'static str {
    match status {
        'S' => "success",
        'F' => "failed",
        'K' => "skipped",
        _ => "upstream_failed",
    }
}
