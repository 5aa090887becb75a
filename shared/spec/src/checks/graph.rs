//! The graph of tasks: every name exists, nothing needs itself, no circle.

use crate::checks::Draft;
use crate::diagnostic::{Code, Diagnostic};
use crate::shape::Reader;

/// The graph by task position, in an order in which every task follows those it needs.
pub(crate) struct Graph {
    pub(crate) needs: Vec<Vec<usize>>,
    pub(crate) below: Vec<Vec<usize>>,
    pub(crate) order: Vec<usize>,
}

/// Checks `needs`; gives the graph when it has no circle.
pub(crate) fn check(draft: &Draft<'_>, reader: &mut Reader) -> Option<Graph> {
    if draft.tasks.is_empty() {
        let span = draft.root.get("tasks").map_or(draft.root.span, |entry| entry.key_span);
        let empty =
            draft.root.get("tasks").and_then(|entry| entry.value.entries()).is_some_and(<[_]>::is_empty);
        if empty {
            reader.report(
                Diagnostic::error(Code::NoTasks, span, "the pipeline has no tasks".to_owned())
                    .help("add a task: `hello: {pass: {}}`")
                    .at("tasks"),
            );
        }
        return None;
    }
    let mut needs = Vec::with_capacity(draft.tasks.len());
    let mut below = vec![Vec::new(); draft.tasks.len()];
    for (at, task) in draft.tasks.iter().enumerate() {
        let mut own: Vec<usize> = Vec::with_capacity(task.task.settings.needs.len());
        for (item, name) in task.task.settings.needs.iter().enumerate() {
            let Some(&upstream) = draft.index.get(name.as_str()) else {
                if !declared(draft, name) {
                    let (span, route) = task.item(&["needs"], item);
                    let help = reader.suggest(name, draft.tasks.iter().map(|task| task.name));
                    reader.report(
                        Diagnostic::error(Code::UnknownTask, span, format!("there is no task `{name}`"))
                            .help(help)
                            .at(route),
                    );
                }
                continue;
            };
            if upstream == at {
                let (span, route) = task.item(&["needs"], item);
                reader.report(
                    Diagnostic::error(Code::NeedsItself, span, format!("`{name}` needs itself"))
                        .help("remove it from its own `needs`")
                        .at(route),
                );
            } else if task.task.settings.needs[..item].contains(name) {
                let (span, route) = task.item(&["needs"], item);
                reader.report(
                    Diagnostic::error(Code::NamedTwice, span, format!("`{name}` is already needed"))
                        .help("keep one of the two")
                        .at(route),
                );
            } else {
                own.push(upstream);
                below[upstream].push(at);
            }
        }
        // Whether it may stand in for that one is checked with the other rules.
        let other = task.task.settings.fallback_for.as_ref().and_then(|name| draft.index.get(name.as_str()));
        if let Some(&other) = other.filter(|other| **other != at && !own.contains(other)) {
            own.push(other);
            below[other].push(at);
        }
        needs.push(own);
    }
    let order = sort(&needs, &below);
    if order.len() < needs.len() {
        circle(draft, &needs, &order, reader);
        return None;
    }
    // Now with what teardowns wait for without saying so. The file may hold tasks that could not be read.
    let implied = crate::teardown::needs(draft.pipeline);
    if draft.tasks.iter().all(|task| task.task.settings.teardown_of.is_empty())
        || implied.len() != draft.tasks.len()
    {
        return Some(Graph { needs, below, order });
    }
    let position = |at: usize| {
        let name = draft.pipeline.tasks.get_index(at).map(|(name, _)| name.as_str());
        name.and_then(|name| draft.index.get(name).copied())
    };
    for (at, ups) in implied.iter().enumerate() {
        let Some(at) = position(at) else { continue };
        for up in ups.iter().filter_map(|up| position(*up)) {
            if !needs[at].contains(&up) {
                needs[at].push(up);
                below[up].push(at);
            }
        }
    }
    let order = sort(&needs, &below);
    if order.len() < needs.len() {
        circle(draft, &needs, &order, reader);
        return None;
    }
    Some(Graph { needs, below, order })
}

/// A task of that name stands in the file, even if it could not be read.
fn declared(draft: &Draft<'_>, name: &str) -> bool {
    draft.tasks.len() < draft.root.get("tasks").and_then(|tasks| tasks.value.entries()).map_or(0, <[_]>::len)
        && draft.root.get("tasks").is_some_and(|tasks| tasks.value.get(name).is_some())
}

/// Kahn's order; shorter than the graph where there is a circle.
fn sort(needs: &[Vec<usize>], below: &[Vec<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..needs.len()).filter(|at| missing[*at] == 0).collect();
    let mut next = 0;
    while let Some(&at) = order.get(next) {
        next += 1;
        for &down in &below[at] {
            missing[down] -= 1;
            if missing[down] == 0 {
                order.push(down);
            }
        }
    }
    order
}

/// Reports one circle per knot of tasks, as a path in the direction of the work.
fn circle(draft: &Draft<'_>, needs: &[Vec<usize>], order: &[usize], reader: &mut Reader) {
    let mut sorted = vec![false; needs.len()];
    for &at in order {
        sorted[at] = true;
    }
    // 0: not seen; otherwise the number of the walk that saw it.
    let mut seen = vec![0usize; needs.len()];
    for start in 0..needs.len() {
        if sorted[start] || seen[start] != 0 {
            continue;
        }
        // Every unsorted task has an unsorted upstream or lies below one: walk up until a task
        // repeats.
        let walk = start + 1;
        let mut path = vec![start];
        let mut at = start;
        let found = loop {
            seen[at] = walk;
            match needs[at].iter().copied().find(|up| !sorted[*up]) {
                None => break None,
                Some(up) if seen[up] == walk => break path.iter().position(|on| *on == up),
                Some(up) if seen[up] != 0 => break None,
                Some(up) => {
                    path.push(up);
                    at = up;
                }
            }
        };
        let Some(from) = found else { continue };
        let mut names: Vec<&str> = path[from..].iter().rev().map(|at| draft.tasks[*at].name).collect();
        let first =
            names.iter().enumerate().min_by_key(|(_, name)| draft.index[*name]).map_or(0, |(at, _)| at);
        names.rotate_left(first);
        names.push(names[0]);
        let shown = if names.len() > 12 {
            format!(
                "{} -> ... {} more ... -> {}",
                names[..6].join(" -> "),
                names.len() - 10,
                names[names.len() - 4..].join(" -> ")
            )
        } else {
            names.join(" -> ")
        };
        let task = &draft.tasks[draft.index[names[0]]];
        let (span, route) = task.place(&["needs"]);
        reader.report(
            Diagnostic::error(Code::Cycle, span, format!("tasks need each other in a circle: {shown}"))
                .help("remove one of these needs")
                .at(route),
        );
    }
}
