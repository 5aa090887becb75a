//! The datasets of a project's pipelines: who writes each, who reads it, whom it starts.

use std::collections::{BTreeMap, BTreeSet};

use cauce_model::Json;
use cauce_model::dataset::{Condition, normal_name, normal_template};
use cauce_model::plan::{Plan, TaskKind};
use cauce_template::Template;
use serde_json::Map;

/// What the files, or what is deployed, say of datasets.
pub(crate) struct Datasets {
    plans: Vec<Plan>,
    /// By what the environment calls them: those whose names a run fills in keep their templates.
    pub(crate) by_name: BTreeMap<String, Uses>,
    values: Map<String, Json>,
}

/// Who has to do with one dataset. Tasks are `pipeline.task`.
#[derive(Clone, Default, Debug)]
pub(crate) struct Uses {
    /// Tasks that write it.
    pub(crate) writers: BTreeSet<String>,
    /// Tasks that read it.
    pub(crate) readers: BTreeSet<String>,
    /// Pipelines that it starts.
    pub(crate) starts: BTreeSet<String>,
}

/// One arrow between two pipelines, or between a pipeline and a dataset.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Arrow {
    /// A pipeline writes a dataset.
    Writes(String, String),
    /// A dataset starts a pipeline.
    Starts(String, String),
    /// A pipeline reads a dataset that does not start it.
    Reads(String, String),
    /// A task of a pipeline starts another one.
    Runs(String, String),
}

impl Datasets {
    /// Of these plans, by an environment's values.
    pub(crate) fn of(plans: Vec<Plan>, values: &Map<String, Json>) -> Self {
        let mut by_name: BTreeMap<String, Uses> = BTreeMap::new();
        for plan in &plans {
            for task in &plan.tasks {
                let who = format!("{}.{}", plan.pipeline, task.name);
                for name in &task.writes {
                    by_name.entry(named(name, values)).or_default().writers.insert(who.clone());
                }
                for name in &task.reads {
                    by_name.entry(named(name, values)).or_default().readers.insert(who.clone());
                }
            }
            for name in plan.dataset_trigger().iter().flat_map(|trigger| trigger.on.names()) {
                by_name.entry(named(name, values)).or_default().starts.insert(plan.pipeline.clone());
            }
        }
        Self { plans, by_name, values: values.clone() }
    }

    /// Who has to do with a dataset, also by names that a run fills in.
    pub(crate) fn uses(&self, dataset: &str) -> Uses {
        let mut uses = Uses::default();
        for (name, of_name) in self.by_name.iter().filter(|(name, _)| fits(name, dataset)) {
            uses.writers.extend(of_name.writers.iter().cloned());
            uses.readers.extend(of_name.readers.iter().cloned());
            if name == dataset {
                uses.starts.extend(of_name.starts.iter().cloned());
            }
        }
        uses
    }

    /// The condition of a pipeline's trigger, by the names of the environment.
    pub(crate) fn condition(&self, plan: &Plan) -> Option<Condition> {
        let name = |name: &str| Ok::<_, std::convert::Infallible>(named(name, &self.values));
        plan.dataset_trigger().and_then(|trigger| trigger.on.rename(&name).ok())
    }

    /// The names of the pipelines.
    pub(crate) fn pipelines(&self) -> BTreeSet<&str> {
        self.plans.iter().map(|plan| plan.pipeline.as_str()).collect()
    }

    /// The datasets that start a pipeline and that no other one writes, with a name that is near.
    pub(crate) fn strangers(&self, plan: &Plan) -> Vec<(String, Option<String>)> {
        let Some(condition) = self.condition(plan) else { return Vec::new() };
        let written =
            || self.by_name.iter().filter(|(_, uses)| !uses.writers.is_empty()).map(|(name, _)| name);
        let unknown = condition.names().into_iter().filter(|name| !written().any(|known| fits(known, name)));
        unknown
            .map(|name| {
                let near = crate::suggest::nearest(name, written().map(String::as_str));
                (name.to_owned(), near.map(str::to_owned))
            })
            .collect()
    }

    /// All arrows, in order.
    pub(crate) fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        let pipeline = |task: &String| task.split_once('.').map_or(task.clone(), |(name, _)| name.to_owned());
        for (name, uses) in &self.by_name {
            arrows.extend(uses.writers.iter().map(|task| Arrow::Writes(pipeline(task), name.clone())));
            arrows.extend(uses.starts.iter().map(|pipeline| Arrow::Starts(name.clone(), pipeline.clone())));
            for reader in uses.readers.iter().map(pipeline) {
                let writes = uses.writers.iter().any(|task| pipeline(task) == reader);
                if !uses.starts.contains(&reader) && !writes {
                    arrows.insert(Arrow::Reads(name.clone(), reader));
                }
            }
        }
        for plan in &self.plans {
            for task in &plan.tasks {
                if let TaskKind::Pipeline(other) = &task.kind {
                    arrows.insert(Arrow::Runs(plan.pipeline.clone(), other.pipeline.clone()));
                }
            }
        }
        arrows
    }

    /// A way from a pipeline through what it writes and starts back to itself: `a`, `the dataset`, `b`, ..., `a`.
    pub(crate) fn circle(&self, from: &str) -> Option<Vec<String>> {
        let arrows = self.arrows();
        let mut seen = BTreeSet::new();
        let mut open = vec![vec![from.to_owned()]];
        // The shortest first.
        while !open.is_empty() {
            let mut next = Vec::new();
            for path in open {
                for to in arrows.iter().filter_map(|arrow| arrow.from(path.last()?)) {
                    let mut longer = path.clone();
                    longer.push(to.to_owned());
                    if to == from {
                        // A pipeline that starts itself by a task is told of elsewhere.
                        return longer.iter().any(|step| self.by_name.contains_key(step)).then_some(longer);
                    }
                    if seen.insert(to.to_owned()) {
                        next.push(longer);
                    }
                }
            }
            open = next;
        }
        None
    }
}

impl Arrow {
    /// Where it leads from here by starting something.
    fn from(&self, here: &str) -> Option<&str> {
        match self {
            Self::Writes(from, to) | Self::Starts(from, to) | Self::Runs(from, to) => {
                (from == here).then_some(to)
            }
            Self::Reads(..) => None,
        }
    }
}

/// A dataset's name as the environment has it; what only a run knows stays a template.
fn named(source: &str, values: &Map<String, Json>) -> String {
    let filled = Template::parse(source).and_then(|template| template.fill_env(values));
    let source = filled.as_ref().map_or(source, Template::source);
    match source.contains("{{") {
        true => normal_template(source),
        false => normal_name(source).unwrap_or_else(|_| source.to_owned()),
    }
}

/// Whether a name, which may have templates in it, can be this dataset's.
fn fits(name: &str, dataset: &str) -> bool {
    if name == dataset {
        return true;
    }
    let Some((first, rest)) = name.split_once("{{") else { return false };
    let first = first.strip_suffix('$').unwrap_or(first);
    let Some(mut left) = dataset.strip_prefix(first) else { return false };
    let mut rest = rest;
    while let Some((_, after)) = rest.split_once("}}") {
        let (literal, next) = after.split_once("{{").map_or((after, None), |(text, next)| (text, Some(next)));
        let literal = literal.strip_suffix('$').unwrap_or(literal);
        match next {
            None => return left.ends_with(literal),
            Some(next) => match left.find(literal) {
                Some(at) => (left, rest) = (&left[at + literal.len()..], next),
                None => return false,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_run_fills_in_fit_what_they_may_become() {
        assert!(fits("s3://lake/{{ds}}/gold", "s3://lake/1997-01-05/gold"));
        assert!(fits("{{params.a}}/{{ds}}", "x/1997-01-05"));
        assert!(!fits("s3://lake/{{ds}}/gold", "s3://lake/1997-01-05/silver"));
        assert!(!fits("s3://lake/{{ds}}", "s3://pond/1997-01-05"));
        assert!(!fits("s3://lake", "s3://lake/x"));
    }

    #[test]
    fn values_of_the_environment_are_filled_in() {
        let mut values = Map::new();
        values.insert("lake".to_owned(), "drop".into());
        assert_eq!(named("S3://${{ env.lake }}/gold/", &values), "s3://drop/gold");
        assert_eq!(named("s3://${{ env.lake }}/{{ ds }}/", &values), "s3://drop/{{ds}}");
    }
}
