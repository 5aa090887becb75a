//! What people see of a run while it runs, and the table at its end.
//!
//! Told of changes, it only notes them: drawing happens at ticks, a few times a second, and only on a
//! terminal. Elsewhere every change is a line.

use std::collections::BTreeMap;

use cauce_model::plan::Plan;
use cauce_model::{Instant, TaskStatus};

use crate::output::{Output, Tone, paint};
use crate::time;

/// The shortest time between two drawings, in microseconds.
const DRAW_EVERY_MICROS: i64 = 100_000;

/// Tasks under way that are shown with a line of their own; the others are counted.
const LINES_MAX: usize = 8;

/// Waiting tasks that are shown.
const WAITING_MAX: usize = 3;

/// The width of a terminal that does not tell it.
const WIDTH_DEFAULT: usize = 80;

/// Something that became of a task, or of an item of a mapped one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// The task.
    pub(crate) task: &'a str,
    /// The item of a mapped task.
    pub(crate) index: Option<u32>,
    /// What it is now.
    pub(crate) status: TaskStatus,
    /// The attempt under way or made last; 0 for none.
    pub(crate) attempt: u32,
    /// Why, in words.
    pub(crate) note: Option<&'a str>,
    /// A failure that is allowed.
    pub(crate) allowed: bool,
    /// When.
    pub(crate) at: Instant,
}

/// A task as far as it is shown.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    needs: Vec<usize>,
    status: TaskStatus,
    allowed: bool,
    attempt: u32,
    started_at: Option<Instant>,
    ended_at: Option<Instant>,
    note: String,
    /// For a mapped task: the status of every item heard of.
    items: Option<BTreeMap<u32, TaskStatus>>,
}

/// The progress of one run.
#[derive(Debug)]
pub(crate) struct Progress {
    output: Output,
    run: String,
    started_at: Instant,
    tasks: Vec<Seen>,
    by_name: BTreeMap<String, usize>,
    /// How many tasks are in each status, in the order of [`TaskStatus::ALL`].
    counts: [usize; TaskStatus::ALL.len()],
    /// Indices of tasks that run or are about to.
    under_way: std::collections::BTreeSet<usize>,
    drawn_at: Option<Instant>,
    is_quiet: bool,
}

impl Progress {
    /// The progress of a run of a plan, about which nothing is known yet. `quiet` shows nothing but
    /// the table, for those who asked for JSON.
    pub(crate) fn new(output: Output, run: &str, plan: &Plan, now: Instant, quiet: bool) -> Self {
        let seen = |task: &cauce_model::plan::TaskPlan| Seen {
            name: task.name.clone(),
            needs: task.needs.iter().map(|up| *up as usize).collect(),
            status: TaskStatus::Waiting,
            allowed: false,
            attempt: 0,
            started_at: None,
            ended_at: None,
            note: String::new(),
            items: task.map.is_some().then(BTreeMap::new),
        };
        let tasks: Vec<Seen> = plan.tasks.iter().map(seen).collect();
        let by_name = tasks.iter().enumerate().map(|(at, task)| (task.name.clone(), at)).collect();
        let mut counts = [0; TaskStatus::ALL.len()];
        counts[place(TaskStatus::Waiting)] = tasks.len();
        Self {
            output,
            run: run.to_owned(),
            started_at: now,
            tasks,
            by_name,
            counts,
            under_way: std::collections::BTreeSet::new(),
            drawn_at: None,
            is_quiet: quiet,
        }
    }

    /// The run's name.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// Notes a change. One of a task that the plan does not have is none of this run's.
    pub(crate) fn update(&mut self, change: &Change<'_>) {
        let Some(&at) = self.by_name.get(change.task) else { return };
        let task = &mut self.tasks[at];
        if let Some(index) = change.index {
            let items = task.items.get_or_insert_default();
            if items.insert(index, change.status) == Some(change.status) {
                return;
            }
        } else {
            let is_same = task.status == change.status && task.attempt == change.attempt;
            self.counts[place(task.status)] -= 1;
            self.counts[place(change.status)] += 1;
            task.status = change.status;
            task.attempt = change.attempt;
            task.allowed = change.allowed;
            task.note = change.note.unwrap_or_default().to_owned();
            match change.status {
                TaskStatus::Waiting => (task.started_at, task.ended_at) = (None, None),
                TaskStatus::Running => {
                    task.started_at.get_or_insert(change.at);
                    task.ended_at = None;
                }
                status if status.is_terminal() => task.ended_at = Some(change.at),
                _ => {}
            }
            if change.status.is_terminal() || change.status == TaskStatus::Waiting {
                self.under_way.remove(&at);
            } else {
                self.under_way.insert(at);
            }
            if is_same {
                return;
            }
        }
        if !self.is_quiet && !self.output.talk_is_terminal() && change.status != TaskStatus::Waiting {
            self.output.talk(&self.line(change));
        }
    }

    /// A change as a line.
    fn line(&self, change: &Change<'_>) -> String {
        let elapsed = time::duration(change.at.micros_since(self.started_at));
        let index = change.index.map(|index| format!("[{index}]")).unwrap_or_default();
        let allowed = if change.allowed { " (allowed)" } else { "" };
        let attempt =
            if change.attempt > 1 { format!(" (attempt {})", change.attempt) } else { String::new() };
        let note = change.note.filter(|note| !note.is_empty());
        let note = note.map(|note| format!(": {}", first_line(note))).unwrap_or_default();
        format!("{elapsed:>8}  {}{index} {}{allowed}{attempt}{note}", change.task, change.status)
    }

    /// Draws, when somebody watches and the last drawing is old enough.
    pub(crate) fn tick(&mut self, now: Instant) {
        let is_due = self.drawn_at.is_none_or(|at| now.micros_since(at) >= DRAW_EVERY_MICROS);
        if self.is_quiet || !self.output.talk_is_terminal() || !is_due {
            return;
        }
        let width = terminal_size::terminal_size_of(std::io::stderr())
            .map_or(WIDTH_DEFAULT, |(terminal_size::Width(width), _)| usize::from(width));
        let lines = self.view(now, width);
        self.output.draw(&lines);
        self.drawn_at = Some(now);
    }

    /// Takes the drawing off the screen.
    pub(crate) fn finish(&mut self) {
        if self.drawn_at.take().is_some() {
            self.output.draw(&[]);
        }
    }

    /// The drawing: a head, the tasks under way with their times, what waits and for what.
    fn view(&self, now: Instant, width: usize) -> Vec<String> {
        let colour = self.output.talk_colour();
        let mut head = vec![time::duration(now.micros_since(self.started_at))];
        for (status, count) in TaskStatus::ALL.iter().zip(self.counts) {
            if count > 0 {
                head.push(format!("{count} {status}"));
            }
        }
        let mut lines = vec![(format!("{}  {}", self.run, head.join(", ")), Tone::Strong)];
        for &at in self.under_way.iter().take(LINES_MAX) {
            let task = &self.tasks[at];
            let since = task.started_at.filter(|_| task.status == TaskStatus::Running);
            let since = since.map(|at| format!(" for {}", time::duration(now.micros_since(at))));
            let attempt =
                if task.attempt > 1 { format!(" (attempt {})", task.attempt) } else { String::new() };
            let note = match (task.note.as_str(), task.items_note()) {
                ("", items) if items.is_empty() => String::new(),
                ("", items) => format!(": {items}"),
                (note, _) => format!(": {}", first_line(note)),
            };
            let line = format!("  {} {}{}{attempt}{note}", task.name, task.status, since.unwrap_or_default());
            lines.push((line, Tone::of_status(task.status.as_str())));
        }
        if self.under_way.len() > LINES_MAX {
            lines.push((format!("  and {} more", self.under_way.len() - LINES_MAX), Tone::Faint));
        }
        lines.extend(self.waiting());
        let cut = |text: String| -> String { text.chars().take(width.saturating_sub(1)).collect() };
        lines.into_iter().map(|(line, tone)| paint(&cut(line), tone, colour)).collect()
    }

    /// The first tasks that wait for one that is under way, and for which.
    fn waiting(&self) -> Vec<(String, Tone)> {
        let waits = |task: &&Seen| {
            task.status == TaskStatus::Waiting && task.needs.iter().any(|up| self.under_way.contains(up))
        };
        let line = |task: &Seen| {
            let open = task.needs.iter().filter(|up| !self.tasks[**up].status.is_terminal());
            let names: Vec<&str> = open.map(|up| self.tasks[*up].name.as_str()).collect();
            (format!("  {} waits for {}", task.name, names.join(", ")), Tone::Faint)
        };
        self.tasks.iter().filter(waits).take(WAITING_MAX).map(line).collect()
    }
}

impl Seen {
    /// How far the items of a mapped task are.
    fn items_note(&self) -> String {
        let Some(items) = self.items.as_ref().filter(|items| !items.is_empty()) else { return String::new() };
        let ended = items.values().filter(|status| status.is_terminal()).count();
        let failed = items.values().filter(|status| **status == TaskStatus::Failed).count();
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        format!("{ended} of {} items ended{failed}", items.len())
    }
}

fn place(status: TaskStatus) -> usize {
    TaskStatus::ALL.iter().position(|known| *known == status).unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::plan::{RetryPlan, TaskKind, TaskPlan};

    fn task(name: &str, needs: &[u32]) -> TaskPlan {
        TaskPlan {
            name: name.to_owned(),
            kind: TaskKind::Pass { output: None },
            needs: needs.to_vec(),
            rule: cauce_model::TriggerRule::default(),
            gate: None,
            opens: Vec::new(),
            fallback_for: None,
            teardown_of: Vec::new(),
            condition: None,
            outputs: Vec::new(),
            map: None,
            timeout_seconds: 60,
            start_timeout_seconds: 60,
            stop_timeout_seconds: 30,
            retry: RetryPlan::default(),
            pools: std::collections::BTreeMap::new(),
            lock: None,
            breaker: None,
            rate_limit: None,
            idempotency: None,
            priority: 0,
            allow_failure: false,
            reads: Vec::new(),
            writes: Vec::new(),
            returns: BTreeMap::new(),
            notify: cauce_model::plan::NotifyPlan::default(),
        }
    }

    fn progress() -> Progress {
        let plan = Plan { tasks: vec![task("a", &[]), task("b", &[0])], ..Plan::default() };
        Progress::new(Output::new(false), "p/r", &plan, Instant::from_micros(0), true)
    }

    fn change(task: &str, status: TaskStatus, seconds: u64) -> Change<'_> {
        let at = Instant::from_micros(0).plus_seconds(seconds);
        Change { task, index: None, status, attempt: 1, note: None, allowed: false, at }
    }

    #[test]
    fn the_view_tells_what_runs_and_what_waits_for_it() {
        let mut progress = progress();
        progress.update(&change("a", TaskStatus::Running, 1));
        let lines = progress.view(Instant::from_micros(3_500_000), 80);
        assert_eq!(lines, ["p/r  3.5s, 1 waiting, 1 running", "  a running for 2.5s", "  b waits for a"]);
        assert_eq!(progress.view(Instant::from_micros(3_500_000), 10)[0], "p/r  3.5s");
    }

    #[test]
    fn what_ended_is_no_longer_under_way_and_strangers_are_not_counted() {
        let mut progress = progress();
        progress.update(&change("a", TaskStatus::Running, 1));
        progress.update(&change("a", TaskStatus::Failed, 3));
        progress.update(&change("b", TaskStatus::UpstreamFailed, 3));
        progress.update(&change("stranger", TaskStatus::Failed, 3));
        let lines = progress.view(Instant::from_micros(4_000_000), 80);
        assert_eq!(lines, ["p/r  4.0s, 1 failed, 1 upstream_failed"]);
        assert!(progress.under_way.is_empty());
    }
}
