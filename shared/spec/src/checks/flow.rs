//! What can happen at run time: rules, branches, tasks that never run.

use std::collections::{BTreeMap, BTreeSet};

use cauce_model::TriggerRule;

use crate::checks::graph::Graph;
use crate::checks::{Draft, DraftTask};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::kind::{Branch, Choice, Kind};
use crate::shape::Reader;

pub(crate) fn check(draft: &Draft<'_>, graph: &Graph, reader: &mut Reader) {
    for (at, task) in draft.tasks.iter().enumerate() {
        rule(draft, graph, at, task, reader);
        teardown(draft, at, task, reader);
        if let Kind::Branch(branch) = &task.task.kind {
            choices(draft, graph, at, task, branch, reader);
        }
    }
    never_run(draft, graph, reader);
}

/// What a teardown takes away was set up, and nothing but that decides whether it runs.
fn teardown(draft: &Draft<'_>, at: usize, task: &DraftTask<'_>, reader: &mut Reader) {
    let settings = &task.task.settings;
    for (item, name) in settings.teardown_of.iter().enumerate() {
        let (span, route) = task.item(&["teardown_of"], item);
        let found = match draft.index.get(name.as_str()) {
            None => {
                let setups = draft.tasks.iter().filter(|task| task.task.settings.setup);
                let help = reader.suggest(name, setups.map(|task| task.name));
                Diagnostic::error(Code::UnknownTask, span, format!("there is no task `{name}`")).help(help)
            }
            Some(setup) if *setup == at => {
                Diagnostic::error(Code::NeedsItself, span, format!("`{name}` takes itself away"))
                    .help("name the task that sets up what it takes away")
            }
            Some(setup) if !draft.tasks[*setup].task.settings.setup => {
                Diagnostic::error(Code::NotSetup, span, format!("`{name}` is not a setup"))
                    .help(format!("add `setup: true` to `{name}`, or need it: `needs: [{name}]`"))
            }
            Some(_) if settings.teardown_of[..item].contains(name) => {
                Diagnostic::error(Code::NamedTwice, span, format!("`{name}` is already named"))
                    .help("keep one of the two")
            }
            Some(_) => continue,
        };
        reader.report(found.at(route));
    }
    let rule = settings.trigger_rule;
    let is_plain = matches!(rule, TriggerRule::AllSuccess | TriggerRule::AllDone);
    if !settings.teardown_of.is_empty() && !is_plain {
        let (span, route) = task.place(&["trigger_rule"]);
        reader.report(
            Diagnostic::error(
                Code::Conflict,
                span,
                format!("`{}` is a teardown, which waits for all however they end, not `{rule}`", task.name),
            )
            .help("remove the trigger rule")
            .at(route),
        );
    }
}

fn rule(draft: &Draft<'_>, graph: &Graph, at: usize, task: &DraftTask<'_>, reader: &mut Reader) {
    let rule = task.task.settings.trigger_rule;
    if matches!(rule, TriggerRule::OneSuccess | TriggerRule::OneFailed | TriggerRule::OneDone)
        && task.task.settings.needs.is_empty()
    {
        let (span, route) = task.place(&["trigger_rule"]);
        reader.report(
            Diagnostic::error(
                Code::RuleWithoutUpstream,
                span,
                format!("`{rule}` waits for a task above, and `{}` needs none", task.name),
            )
            .help("add `needs`, or drop the rule")
            .at(route),
        );
    }
    let branch = graph.needs[at].iter().find(|up| matches!(draft.tasks[**up].task.kind, Kind::Branch(_)));
    if let Some(branch) = branch.filter(|_| rule.is_early()) {
        let (span, route) = task.place(&["trigger_rule"]);
        reader.report(
            Diagnostic::warning(
                Code::EarlyRuleBelowBranch,
                span,
                format!(
                    "`{rule}` fires before the branch `{}` has decided, or in spite of it",
                    draft.tasks[*branch].name
                ),
            )
            .help("use `none_failed_min_one_success` below a branch")
            .at(route),
        );
    }
}

fn choices(
    draft: &Draft<'_>,
    graph: &Graph,
    at: usize,
    task: &DraftTask<'_>,
    branch: &Branch,
    reader: &mut Reader,
) {
    let mut decided = false;
    for (item, choice) in branch.0.iter().enumerate() {
        let (span, route) = task.item(&["branch"], item);
        if decided {
            reader.report(
                Diagnostic::error(Code::DeadChoice, span, "a choice after `else` is never taken".to_owned())
                    .help("move `else` to the end")
                    .at(route.clone()),
            );
        }
        decided |= choice.condition.is_none();
        if choice.to.is_empty() {
            reader.report(
                Diagnostic::error(Code::BranchTarget, span, "the choice leads to no task".to_owned())
                    .help("name a task that needs this branch; to do nothing, leave the choice out")
                    .at(route.clone()),
            );
        }
        for name in &choice.to {
            match draft.index.get(name.as_str()) {
                None => {
                    let help = reader.suggest(name, draft.tasks.iter().map(|task| task.name));
                    reader.report(
                        Diagnostic::error(Code::UnknownTask, span, format!("there is no task `{name}`"))
                            .help(help)
                            .at(route.clone()),
                    );
                }
                Some(target) if !graph.needs[*target].contains(&at) => {
                    reader.report(
                        Diagnostic::error(
                            Code::BranchTarget,
                            span,
                            format!(
                                "`{name}` does not need `{}`, so the branch cannot lead to it",
                                task.name
                            ),
                        )
                        .help(format!("add `{}` to the `needs` of `{name}`", task.name))
                        .at(route.clone()),
                    );
                }
                Some(_) => {}
            }
        }
    }
}

/// The endings that a task may have: a set of [`SUCCESS`], [`FAILED`], [`SKIPPED`], [`UPSTREAM`].
type Endings = u8;
const SUCCESS: Endings = 1;
const FAILED: Endings = 2;
const SKIPPED: Endings = 4;
const UPSTREAM: Endings = 8;
/// It ran, whatever came of it.
const RAN: Endings = SUCCESS | FAILED;

/// Warns of tasks that no outcome lets run. For each branch, each of its choices is followed down
/// the graph as far as it makes a difference; a task that cannot run under any of them never runs.
fn never_run(draft: &Draft<'_>, graph: &Graph, reader: &mut Reader) {
    let mut base: Vec<Endings> = vec![0; draft.tasks.len()];
    for &at in &graph.order {
        let below_branch = graph.needs[at].iter().any(|up| is_branch(draft, *up));
        let skipped = if below_branch { SKIPPED } else { 0 };
        base[at] = endings(draft, graph, at, &base) | skipped;
    }
    for &at in &graph.order {
        if base[at] & RAN == 0 && graph.needs[at].iter().all(|up| base[*up] & RAN != 0) {
            let task = &draft.tasks[at];
            let (span, route) = task.place(&["trigger_rule"]);
            let rule = task.task.settings.rule();
            reader.report(
                Diagnostic::warning(
                    Code::NeverRuns,
                    span,
                    format!("`{}` never runs: the tasks it needs cannot end as `{rule}` asks", task.name),
                )
                .help("choose another `trigger_rule`, or other `needs`")
                .at(route),
            );
        }
    }
    let mut rank = vec![0; draft.tasks.len()];
    for (place, at) in graph.order.iter().enumerate() {
        rank[*at] = place;
    }
    for &branch in &graph.order {
        let Kind::Branch(choices) = &draft.tasks[branch].task.kind else { continue };
        let targets = |choice: &Choice| -> Vec<usize> {
            choice.to.iter().filter_map(|name| draft.index.get(name.as_str()).copied()).collect()
        };
        let mut ways: Vec<Way> = choices.0.iter().map(|choice| Way::Taken(targets(choice))).collect();
        if choices.0.iter().all(|choice| choice.condition.is_some()) {
            ways.push(Way::Taken(Vec::new()));
        }
        ways.push(Way::Undecided);
        let mut blocked: Option<Vec<usize>> = None;
        for way in &ways {
            let stuck = follow(draft, graph, branch, way, &base, &rank);
            blocked = Some(match blocked {
                None => stuck,
                Some(before) => before.into_iter().filter(|at| stuck.binary_search(at).is_ok()).collect(),
            });
        }
        let blocked = blocked.unwrap_or_default();
        for &at in &blocked {
            // Only the first of a row of tasks that cannot run is worth a word.
            let above = graph.needs[at].iter().any(|up| blocked.binary_search(up).is_ok());
            if above || base[at] & RAN == 0 {
                continue;
            }
            let task = &draft.tasks[at];
            let (span, route) = task.place(&["needs"]);
            let rule = task.task.settings.trigger_rule;
            let direct = graph.needs[at].contains(&branch);
            let diagnostic = if direct {
                Diagnostic::warning(
                    Code::NeverRuns,
                    span,
                    format!(
                        "`{}` never runs: no choice of the branch `{}` leads to it",
                        task.name, draft.tasks[branch].name
                    ),
                )
                .help("name it in a choice, or remove the branch from its `needs`")
            } else {
                Diagnostic::warning(
                    Code::NeverRuns,
                    span,
                    format!(
                        "`{}` never runs: under `{rule}`, every choice of the branch `{}` skips a task that it needs",
                        task.name, draft.tasks[branch].name
                    ),
                )
                .help("below a branch, join with `trigger_rule: none_failed_min_one_success`")
            };
            reader.report(diagnostic.at(route));
        }
    }
}

/// What may become of a branch.
enum Way {
    /// It succeeded and took these tasks.
    Taken(Vec<usize>),
    /// It failed or did not run, so it skips nothing.
    Undecided,
}

/// The tasks, sorted by position, that cannot run when the branch goes this way.
fn follow(
    draft: &Draft<'_>,
    graph: &Graph,
    branch: usize,
    way: &Way,
    base: &[Endings],
    rank: &[usize],
) -> Vec<usize> {
    let mut changed: BTreeMap<usize, Endings> = BTreeMap::new();
    let mut queue: BTreeSet<(usize, usize)> =
        graph.below[branch].iter().map(|down| (rank[*down], *down)).collect();
    let mut refused: BTreeSet<usize> = BTreeSet::new();
    match way {
        Way::Taken(chosen) => {
            changed.insert(branch, SUCCESS);
            let reached = reach(graph, chosen, &graph.below[branch], rank);
            refused.extend(&graph.below[branch]);
            refused.retain(|at| !chosen.contains(at) && !reached.contains(at));
        }
        Way::Undecided if draft.tasks[branch].task.settings.allow_failure => {}
        Way::Undecided => {
            changed.insert(branch, base[branch] & !SUCCESS);
        }
    }
    let mut stuck = Vec::new();
    while let Some((_, at)) = queue.pop_first() {
        let new = if refused.contains(&at) {
            SKIPPED
        } else {
            let others = graph.needs[at].iter().any(|up| *up != branch && is_branch(draft, *up));
            let see = |up: usize| changed.get(&up).copied().unwrap_or(base[up]);
            evaluate(draft, graph, at, see) | if others { SKIPPED } else { 0 }
        };
        if new & RAN == 0 {
            stuck.push(at);
        }
        if new != base[at] {
            changed.insert(at, new);
            queue.extend(graph.below[at].iter().map(|down| (rank[*down], *down)));
        }
    }
    stuck.sort_unstable();
    stuck
}

/// Which of `targets` lie below one of `from`. Nothing beyond the last target is visited.
fn reach(graph: &Graph, from: &[usize], targets: &[usize], rank: &[usize]) -> BTreeSet<usize> {
    let last = targets.iter().map(|at| rank[*at]).max().unwrap_or(0);
    let mut seen = BTreeSet::new();
    let mut stack: Vec<usize> = from.to_vec();
    while let Some(at) = stack.pop() {
        for &down in &graph.below[at] {
            if rank[down] <= last && seen.insert(down) {
                stack.push(down);
            }
        }
    }
    seen
}

fn is_branch(draft: &Draft<'_>, at: usize) -> bool {
    matches!(draft.tasks[at].task.kind, Kind::Branch(_))
}

fn endings(draft: &Draft<'_>, graph: &Graph, at: usize, known: &[Endings]) -> Endings {
    evaluate(draft, graph, at, |up| known[up])
}

/// The upstreams that a rule counts, and those among them that another one may make good: a task counts
/// as one with its fallback where both are needed, unless the rule fires early.
fn with_fallbacks(
    draft: &Draft<'_>,
    needs: &[usize],
    rule: TriggerRule,
) -> (Vec<usize>, Vec<(usize, usize)>) {
    let other = |at: usize| {
        let other = draft.tasks[at].task.settings.fallback_for.as_ref()?;
        draft.index.get(other.as_str()).copied().filter(|other| needs.contains(other) && !rule.is_early())
    };
    let made_good = needs.iter().filter_map(|at| Some((other(*at)?, *at))).collect();
    (needs.iter().copied().filter(|at| other(*at).is_none()).collect(), made_good)
}

/// The endings that a task may have, given those of the tasks it needs. Too many rather than
/// too few: upstreams are taken as independent of each other.
fn evaluate(draft: &Draft<'_>, graph: &Graph, at: usize, of: impl Fn(usize) -> Endings) -> Endings {
    let settings = &draft.tasks[at].task.settings;
    let rule = settings.rule();
    let (needs, made_good) = with_fallbacks(draft, &graph.needs[at], rule);
    let of = |up: usize| {
        let good = made_good.iter().any(|(task, fallback)| *task == up && of(*fallback) & SUCCESS != 0);
        of(up) | if good { SUCCESS } else { 0 }
    };
    let mut ran = if settings.allow_failure { SUCCESS } else { SUCCESS | FAILED };
    if matches!(draft.tasks[at].task.kind, Kind::Fail(_)) {
        ran = if settings.allow_failure { SUCCESS } else { FAILED };
    }
    if settings.condition.is_some() || settings.map.is_some() || !settings.retry.skip_on_exit_code.is_empty()
    {
        ran |= SKIPPED;
    }
    if needs.is_empty() || rule == TriggerRule::Always {
        return ran;
    }
    if !settings.teardown_of.is_empty() {
        // Skipped where nothing was set up.
        return ran | SKIPPED;
    }
    let all = |wanted: Endings| needs.iter().all(|up| of(*up) & wanted != 0);
    let any = |wanted: Endings| needs.iter().any(|up| of(*up) & wanted != 0);
    let bad = FAILED | UPSTREAM;
    let mut out = 0;
    let (runs, skips, fails) = match rule {
        TriggerRule::AllSuccess => (all(SUCCESS), any(SKIPPED), any(bad)),
        TriggerRule::AllFailed => (all(bad), any(SUCCESS | SKIPPED), false),
        TriggerRule::AllDone | TriggerRule::Always => (true, false, false),
        TriggerRule::AllDoneMinOneSuccess => (any(SUCCESS) && all(SUCCESS | bad), any(SKIPPED), all(bad)),
        TriggerRule::AllSkipped => (all(SKIPPED), any(SUCCESS | bad), false),
        TriggerRule::OneSuccess => (any(SUCCESS), all(SKIPPED), all(bad | SKIPPED) && any(bad)),
        TriggerRule::OneFailed => (any(bad), all(SUCCESS | SKIPPED), false),
        TriggerRule::OneDone => (any(SUCCESS | FAILED), all(SKIPPED | UPSTREAM), false),
        TriggerRule::NoneFailed => (all(SUCCESS | SKIPPED), false, any(bad)),
        TriggerRule::NoneFailedMinOneSuccess => {
            (any(SUCCESS) && all(SUCCESS | SKIPPED), all(SKIPPED), any(bad))
        }
        TriggerRule::NoneSkipped => (all(SUCCESS | bad), any(SKIPPED), false),
    };
    if runs {
        out |= ran;
    }
    if skips {
        out |= SKIPPED;
    }
    if fails {
        out |= UPSTREAM;
    }
    out
}
