//! The manifest: what Terraform needs to know of a pipeline, and nothing else.

use std::collections::BTreeSet;

use cauce_model::files::FileTriggerPlan;
use cauce_model::pattern::KeyPattern;
use cauce_model::plan::{Plan, SchedulePlan, Tick, TriggerPlan, schedule_name};
use cauce_model::schedule::Schedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forecast::Forecast;
use crate::machine::Machine;
use crate::task_definitions::{self, ManifestTaskDefinition};

/// The shape of `manifest.json` that this code writes.
pub const MANIFEST_SCHEMA: u32 = 2;

/// What a deployment needs to know of a pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline version: sha256 of plan and definitions, in hex.
    pub version: String,
    /// Who to ask about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Words to filter by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its machines, the pipeline's own first.
    pub machines: Vec<ManifestMachine>,
    /// Its schedules, as EventBridge Scheduler takes them.
    pub schedules: Vec<ManifestSchedule>,
    /// The list for each of whose items it has runs. What is in it is data, and in no manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<ManifestMatrix>,
    /// Events that start it.
    pub triggers: Vec<ManifestTrigger>,
    /// The launch kinds whose lifecycle machines its tasks start, ascending.
    pub kinds: Vec<String>,
    /// The ECS task definitions that its tasks start, by family, ascending.
    pub task_definitions: Vec<ManifestTaskDefinition>,
    /// What it will ask of AWS.
    pub forecast: Forecast,
}

/// A machine of a manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestMachine {
    /// Its name.
    pub name: String,
    /// The file of its definition, beside the manifest.
    pub file: String,
    /// What Open's `machines` calls it, for a part; absent for the pipeline's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// A schedule to create. `start` and `end` of the file are not among its fields: Scheduler refuses moments
/// that have passed, so trigger-run holds them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestSchedule {
    /// Its name in the pipeline, which its input has to carry.
    pub name: String,
    /// The items of the matrix that it is for: those of this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// `cron(...)` of six fields, `rate(...)` or `at(...)`.
    pub expression: String,
    /// The IANA zone in which the expression is read.
    pub timezone: String,
    /// Within how many minutes of a tick it may be told: the flexible time window.
    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-flexible-time-windows.html>
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_minutes: Option<u64>,
    /// What the expression cannot say, and what happens instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A matrix: runs for each item of a list, which `cauce sync` writes into the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestMatrix {
    /// The word under which templates read the item.
    #[serde(rename = "as")]
    pub name: String,
    /// The column that identifies an item.
    pub key: String,
    /// The column that chooses an item's schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
    /// Its values, in the order of the schedules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<String>,
}

/// Events that start a pipeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ManifestTrigger {
    /// Objects that arrive in a bucket.
    File {
        /// The bucket; `${{ env.x }}` stays in it.
        bucket: String,
        /// What the keys begin with, ascending; none of them begins with another.
        prefixes: Vec<String>,
    },
    /// A signed call.
    Webhook {
        /// Where it is called, below the API's address.
        address: String,
        /// How it is signed.
        style: String,
        /// The references of the secrets that it is checked with.
        secrets: Vec<String>,
    },
    /// Updates of datasets. Nothing is to be made for it: the functions tell each other.
    Dataset {
        /// The names, ascending; `${{ env.x }}` stays in them.
        datasets: Vec<String>,
    },
}

impl ManifestTrigger {
    fn of(trigger: &TriggerPlan, plan: &Plan) -> Self {
        match trigger {
            TriggerPlan::File(trigger) => files(trigger),
            TriggerPlan::Webhook(hook) => {
                let path = hook.path.as_ref().map(|path| format!("/{path}")).unwrap_or_default();
                let secrets = [Some(&hook.key), hook.previous_key.as_ref(), hook.verify_token.as_ref()];
                Self::Webhook {
                    address: format!("hooks/{}{path}", plan.pipeline),
                    style: hook.style.as_str().to_owned(),
                    secrets: secrets.into_iter().flatten().cloned().collect(),
                }
            }
            TriggerPlan::Dataset(dataset) => {
                Self::Dataset { datasets: dataset.on.names().into_iter().map(str::to_owned).collect() }
            }
        }
    }
}

pub(crate) fn manifest(plan: &Plan, machines: &[Machine], version: String, forecast: &Forecast) -> Manifest {
    let kinds = plan.tasks.iter().filter_map(|task| task.kind.machine());
    let kinds: BTreeSet<&str> = kinds.collect();
    Manifest {
        schema: MANIFEST_SCHEMA,
        pipeline: plan.pipeline.clone(),
        version,
        owner: None,
        tags: Vec::new(),
        machines: machines
            .iter()
            .map(|machine| ManifestMachine {
                name: machine.name.clone(),
                file: definition_file(&machine.name),
                part: machine.part.clone(),
            })
            .collect(),
        schedules: plan.schedules.iter().enumerate().flat_map(|(at, plan)| schedules(at, plan)).collect(),
        matrix: plan.matrix.as_ref().map(|matrix| ManifestMatrix {
            name: matrix.name.clone(),
            key: matrix.key.clone(),
            select: matrix.select.clone(),
            cases: plan.schedules.iter().filter_map(|schedule| schedule.case.clone()).collect(),
        }),
        triggers: plan.triggers.iter().map(|trigger| ManifestTrigger::of(trigger, plan)).collect(),
        kinds: kinds.into_iter().map(ToOwned::to_owned).collect(),
        task_definitions: task_definitions::of(plan),
        forecast: forecast.clone(),
    }
}

/// The file name of a definition.
pub fn definition_file(machine: &str) -> String {
    format!("{machine}.asl.json")
}

/// One schedule is two for EventBridge where cron restricts both day fields.
fn schedules(at: usize, plan: &SchedulePlan) -> Vec<ManifestSchedule> {
    // The checks refuse a schedule that cannot be read.
    let expressions = Schedule::new(plan).map(|schedule| schedule.to_eventbridge()).unwrap_or_default();
    let halves = expressions.len() > 1;
    let mut notes: Vec<&str> = Vec::new();
    if halves {
        notes.push("one of the two expressions of a cron with both day fields; a tick of both is one run");
    }
    if plan.calendar.is_some() {
        notes.push("ticks on days that the calendar closes start nothing");
    }
    if matches!(plan.every, Tick::Calendar { .. }) {
        notes.push("the sweep ticks on days with hours of their own, and on those opened by date");
    }
    if plan.off_peak.is_some() {
        notes.push("the run of a tick outside off-peak hours waits for them, and the sweep starts it");
    }
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    (0..)
        .zip(expressions)
        .map(|(half, expression)| ManifestSchedule {
            name: schedule_name(at, half > 0),
            case: plan.case.clone(),
            expression: expression.expression,
            timezone: expression.timezone,
            jitter_minutes: plan.jitter_seconds.map(|seconds| seconds / 60),
            note: note.clone(),
        })
        .collect()
}

fn files(trigger: &FileTriggerPlan) -> ManifestTrigger {
    // The checks refuse patterns that cannot be read.
    let patterns = trigger.patterns().filter_map(|key| KeyPattern::parse(key).ok());
    let mut prefixes: Vec<String> = Vec::new();
    for prefix in patterns.map(|pattern| pattern.literal_prefix().to_owned()).collect::<BTreeSet<_>>() {
        // Ascending: a prefix of this one stands before it, and brings its keys already.
        if prefixes.last().is_none_or(|shorter| !prefix.starts_with(shorter.as_str())) {
            prefixes.push(prefix);
        }
    }
    ManifestTrigger::File { bucket: trigger.bucket.clone(), prefixes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::plan::{Catchup, DstGap, schedule_index};

    fn planned(every: Tick) -> SchedulePlan {
        SchedulePlan {
            case: None,
            every,
            timezone: "America/Lima".into(),
            data_interval: true,
            start: None,
            end: None,
            catchup: Catchup::Last,
            dst_gap: DstGap::RunAfter,
            calendar: None,
            jitter_seconds: None,
            off_peak: None,
        }
    }

    #[test]
    fn schedules_are_written_for_eventbridge() {
        let of = |every: Tick| -> Vec<String> {
            let written = schedules(1, &planned(every));
            assert!(written.iter().all(|schedule| schedule_index(&schedule.name) == Some(1)));
            written
                .iter()
                .map(|one| {
                    format!(
                        "{} {} {}{}",
                        one.name,
                        one.expression,
                        one.timezone,
                        if one.note.is_some() { " !" } else { "" }
                    )
                })
                .collect()
        };
        assert_eq!(of(Tick::Cron("0 2 * * 1-5".into())), ["schedule-2 cron(0 2 ? * 2-6 *) America/Lima"]);
        assert_eq!(
            of(Tick::Cron("0 2 1 * 1".into())),
            ["schedule-2 cron(0 2 1 * ? *) America/Lima !", "schedule-2-b cron(0 2 ? * 2 *) America/Lima !"]
        );
        assert_eq!(of(Tick::RateSeconds(7200)), ["schedule-2 rate(2 hours) UTC"]);
    }

    #[test]
    fn a_prefix_that_another_one_covers_needs_no_rule() {
        let trigger = |keys: &[&str]| FileTriggerPlan {
            bucket: "${{ env.landing }}".into(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            all: true,
            marker: None,
            item: None,
            logical_date: None,
            min_bytes: 0,
            deadline_seconds: None,
            settle_seconds: None,
            batch: None,
        };
        let prefixes = |keys: &[&str]| {
            let ManifestTrigger::File { bucket, prefixes } = files(&trigger(keys)) else {
                panic!("files are waited for")
            };
            assert_eq!(bucket, "${{ env.landing }}");
            prefixes
        };
        assert_eq!(prefixes(&["in/a_{d:date}.csv", "in/b_{d:date}.csv"]), ["in/a_", "in/b_"]);
        assert_eq!(prefixes(&["in/a_{d:date}.csv", "in/{x}.csv", "in/a_b{x}"]), ["in/"]);
        assert_eq!(prefixes(&["{x}.csv", "in/y"]), [""]);
    }
}
