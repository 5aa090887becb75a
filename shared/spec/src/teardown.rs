//! What tasks wait for without saying so. A fallback comes after what it stands in for. What a teardown
//! takes away may be in use by anything below its setup, so it comes after all of that.

use cauce_model::TriggerRule;

use crate::file::pipeline::Pipeline;

/// The tasks that each task needs, all by position in the file: those that it names, and for a teardown
/// its setups and whatever lies below them. Left out are what lies below the teardown itself and
/// other teardowns, unless all that they take away was set up below its own setups. Names that no task
/// has are passed by.
pub fn needs(pipeline: &Pipeline) -> Vec<Vec<usize>> {
    let of = |names: &[crate::Name]| -> Vec<usize> {
        let mut found: Vec<usize> = Vec::with_capacity(names.len());
        for at in names.iter().filter_map(|name| pipeline.tasks.get_index_of(name)) {
            if !found.contains(&at) {
                found.push(at);
            }
        }
        found
    };
    let declared = |(at, task): (usize, &crate::Task)| {
        let mut needs = of(&task.settings.needs);
        // A fallback waits for what it stands in for.
        let other = task.settings.fallback_for.as_ref().and_then(|name| pipeline.tasks.get_index_of(name));
        needs.extend(other.filter(|other| *other != at && !needs.contains(other)));
        needs
    };
    let declared: Vec<Vec<usize>> = pipeline.tasks.values().enumerate().map(declared).collect();
    let setups: Vec<Vec<usize>> =
        pipeline.tasks.values().map(|task| of(&task.settings.teardown_of)).collect();
    if setups.iter().all(Vec::is_empty) {
        return declared;
    }
    let mut below = vec![Vec::new(); declared.len()];
    for (at, needs) in declared.iter().enumerate() {
        for up in needs {
            below[*up].push(at);
        }
    }
    let mut all = declared.clone();
    for (teardown, own) in setups.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
        let mut between = reach(&below, own);
        let after = reach(&below, &[teardown]);
        for at in 0..between.len() {
            let is_other = !setups[at].is_empty() && !setups[at].iter().all(|setup| between[*setup]);
            if at == teardown || after[at] || is_other {
                between[at] = false;
            }
        }
        // A nested teardown need not be below the setup by its own words.
        let nested = |at: usize| {
            at != teardown
                && !after[at]
                && !setups[at].is_empty()
                && setups[at].iter().all(|setup| between[*setup])
        };
        let nested: Vec<usize> = (0..between.len()).filter(|at| nested(*at)).collect();
        for at in nested {
            between[at] = true;
        }
        // One that another of them waits for need not be named.
        let waits = |at: usize| {
            let rule = pipeline.tasks.get_index(at).map(|(_, task)| task.settings.rule());
            rule.is_some_and(|rule| rule != TriggerRule::Always && !rule.is_early())
        };
        let is_last = |at: usize| !below[at].iter().any(|down| between[*down] && waits(*down));
        let last = (0..between.len()).filter(|at| between[*at] && is_last(*at));
        for up in own.iter().copied().filter(|up| *up != teardown).chain(last) {
            if !all[teardown].contains(&up) {
                all[teardown].push(up);
            }
        }
    }
    all
}

/// Which tasks lie below one of these, not counting themselves.
fn reach(below: &[Vec<usize>], from: &[usize]) -> Vec<bool> {
    let mut reached = vec![false; below.len()];
    let mut stack = from.to_vec();
    while let Some(at) = stack.pop() {
        for &down in &below[at] {
            if !reached[down] {
                reached[down] = true;
                stack.push(down);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use crate::Project;

    fn waits(tasks: &str) -> String {
        let yaml = format!("pipeline: p\ntasks:\n{tasks}");
        let (pipeline, diagnostics) = crate::check(yaml.as_bytes(), &Project::none());
        let pipeline = pipeline.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let name = |at: usize| pipeline.tasks.get_index(at).map_or("", |(name, _)| name.as_str()).to_owned();
        let all = super::needs(&pipeline);
        let teardowns = pipeline.tasks.values().enumerate();
        let teardowns = teardowns.filter(|(_, task)| !task.settings.teardown_of.is_empty());
        let lines = teardowns.map(|(at, _)| {
            let mut needs: Vec<String> = all[at].iter().map(|up| name(*up)).collect();
            needs.sort();
            format!("{} <- {}", name(at), needs.join(" "))
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_teardown_waits_for_everything_below_its_setup_but_what_is_below_itself() {
        let tasks = "  up: {setup: true, pass: {}}
  a: {needs: [up], pass: {}}
  b: {needs: [a], pass: {}}
  c: {needs: [up], pass: {}}
  aside: {pass: {}}
  down: {teardown_of: [up], pass: {}}
  after: {needs: [down, a], pass: {}}
";
        assert_eq!(waits(tasks), "down <- b c up");
    }

    #[test]
    fn an_early_task_stands_for_nothing_above_it() {
        let tasks = "  up: {setup: true, pass: {}}
  a: {needs: [up], pass: {}}
  b: {needs: [up], pass: {}}
  first: {needs: [a, b], trigger_rule: one_success, pass: {}}
  down: {teardown_of: [up], pass: {}}
";
        assert_eq!(waits(tasks), "down <- a b first up");
    }

    #[test]
    fn the_inner_is_taken_away_before_the_outer_and_two_of_one_setup_do_not_wait_for_each_other() {
        let tasks = "  outer: {setup: true, pass: {}}
  inner: {setup: true, needs: [outer], pass: {}}
  work: {needs: [inner], pass: {}}
  no_inner: {teardown_of: [inner], pass: {}}
  no_outer: {teardown_of: [outer], pass: {}}
  log: {teardown_of: [outer], pass: {}}
";
        assert_eq!(
            waits(tasks),
            "no_inner <- inner work; no_outer <- no_inner outer work; log <- no_inner outer work"
        );
    }
}
