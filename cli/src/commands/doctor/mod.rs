//! `cauce doctor`: whether a deployed environment is as it should be. It looks and changes nothing.
//!
//! Each check says what it saw and how to mend it. What could not be looked at says so: it is never
//! taken for well.

mod parts;

use std::collections::BTreeSet;
use std::fmt::Write;

use cauce_aws::inspect::{Inspect, InspectError, TableShape};
use cauce_model::deployment::DEPLOYMENT_BYTES_MAX;
use cauce_model::record::PipelineRecord;
use cauce_model::{Deployment, Json};
use cauce_ports::Objects;
use serde_json::json;

use super::short;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table, Tone};
use crate::place::AnyObjects;
use crate::project::{self, ProjectFolder};
use crate::store::Store;
use crate::there::{Names, There, declared};
use parts::Roles;

/// The keys of the store's table, and of its index `list`.
const TABLE_KEYS: (&str, &str) = ("pk", "sk");
const INDEX: (&str, &str, &str) = ("list", "lk", "lp");

/// The attribute by which the store's items expire.
const TTL: &str = "ttl";

/// Vcpus that Fargate runs at once, on demand and on Spot, in one region of the account.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
const FARGATE_QUOTA: (&str, &str) = ("fargate", "L-3032A538");

/// Lambda executions at once, in one region of the account.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const LAMBDA_QUOTA: (&str, &str) = ("lambda", "L-B99A9384");

/// CPU units of one vCPU.
const UNITS_PER_VCPU: f64 = 1024.0;

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ok,
    Warn,
    Fail,
    Unknown,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "not checked",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warn => Tone::Warn,
            Self::Fail => Tone::Bad,
            Self::Unknown => Tone::Faint,
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Check {
    name: String,
    state: State,
    saw: String,
    fix: Option<String>,
}

/// The checks made so far.
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, name: &str, state: State, saw: impl Into<String>) -> &mut Check {
        let check = Check { name: name.to_owned(), state, saw: saw.into(), fix: None };
        self.0.push(check);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn ok(&mut self, name: &str, saw: impl Into<String>) {
        self.add(name, State::Ok, saw);
    }

    fn bad(&mut self, name: &str, state: State, saw: impl Into<String>, fix: impl Into<String>) {
        self.add(name, state, saw).fix = Some(fix.into());
    }

    fn unknown(&mut self, name: &str, error: &InspectError) {
        self.bad(name, State::Unknown, error.to_string(), "allow your role to describe it");
    }
}

pub(crate) fn doctor(context: &Context) -> Result<Exit, Failure> {
    let Some(there) = context.there()? else {
        return Err(Failure::bad_input("'doctor' looks at a deployed environment, and none is named")
            .help("name one of 'environments' in cauce.yaml with --env"));
    };
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let mut report = Report(Vec::new());
    context.block_on(async {
        let who = there.by().await;
        match who {
            Ok(arn) => report.ok("credentials", arn),
            Err(failure) => {
                let fix = failure.help.unwrap_or_default();
                report.bad("credentials", State::Fail, failure.message, fix);
                // Nothing else can be looked at without them.
                return Ok(());
            }
        }
        report.ok("region", there.names().region.clone());
        let inspect = Inspect::new(there.adapters().connection());
        let usable = control_plane(&there, &inspect, &mut report).await;
        let (names, mut roles) = (there.names(), Roles::default());
        let fix = format!("cauce deploy --env {}", context.env);
        let packages = super::deploy::packages(&folder, declared(&folder, &context.env)?);
        parts::functions(&names.prefix, &packages, &inspect, &fix, &mut roles, &mut report).await;
        let deployments = match usable {
            true => pipelines(&folder, &there, &inspect, context, &mut roles, &mut report).await?,
            false => Vec::new(),
        };
        tasks(&deployments, names, &inspect, &fix, &mut roles, &mut report).await;
        roles.check(&inspect, &fix, &mut report).await;
        quotas(&folder, &there, &mut report, context).await
    })?;
    tell(&report.0, context)
}

fn tell(checks: &[Check], context: &Context) -> Result<Exit, Failure> {
    let failed = checks.iter().any(|check| check.state == State::Fail);
    if context.json {
        let checks: Vec<Json> = checks
            .iter()
            .map(|c| json!({"check": c.name, "state": c.state.word(), "saw": c.saw, "fix": c.fix}))
            .collect();
        let document = json!({"schema": 1, "environment": context.env, "ok": !failed, "checks": checks});
        context.output.json(&document)?;
    } else {
        let mut table = Table::new(["CHECK", "STATE", "SAW", "FIX"]);
        for check in checks {
            table.row([
                check.name.as_str().into(),
                Cell::new(check.state.word(), check.state.tone()),
                check.saw.as_str().into(),
                check.fix.as_deref().unwrap_or_default().into(),
            ]);
        }
        context.output.table(&table)?;
    }
    Ok(if failed { Exit::RunFailed } else { Exit::Good })
}

/// Table, bucket, queues, cluster. Whether the store can be read.
async fn control_plane(there: &There, inspect: &Inspect, report: &mut Report) -> bool {
    let names = there.names();
    let apply = "cauce deploy applies what is missing";
    let usable = match inspect.table(&names.table).await {
        Ok(Some(shape)) => table(&names.table, &shape, report),
        Ok(None) => {
            report.bad("table", State::Fail, format!("there is no table {}", names.table), apply);
            false
        }
        Err(error) => {
            report.unknown("table", &error);
            true
        }
    };
    match inspect.bucket(&names.bucket).await {
        Ok(true) => report.ok("documents", names.bucket.clone()),
        Ok(false) => {
            report.bad("documents", State::Fail, format!("there is no bucket {}", names.bucket), apply);
        }
        Err(error) => report.unknown("documents", &error),
    }
    for (name, url) in [("notices", &names.notices), ("dead letters", &names.dead_letters)] {
        match inspect.queue(url).await {
            Ok(Some(0)) => report.ok(name, "the queue is empty"),
            Ok(Some(count)) if name == "dead letters" => report.bad(
                name,
                State::Warn,
                format!("{count} messages that nobody could work on"),
                "docs/runbooks/dead-letters.md; each carries its reason",
            ),
            Ok(Some(count)) => report.ok(name, format!("{count} messages on their way")),
            Ok(None) => report.bad(name, State::Fail, format!("there is no queue {url}"), apply),
            Err(error) => report.unknown(name, &error),
        }
    }
    match inspect.cluster(&names.cluster).await {
        Ok(Some(cluster)) if cluster.status == "ACTIVE" => {
            let wanted = ["FARGATE", "FARGATE_SPOT"];
            let lacks: Vec<&str> = wanted
                .into_iter()
                .filter(|one| !cluster.capacity_providers.iter().any(|p| p == one))
                .collect();
            let running = format!("{} tasks under way", cluster.running);
            match lacks.is_empty() {
                true => report.ok("cluster", running),
                false => report.bad(
                    "cluster",
                    State::Fail,
                    format!("it lacks the capacity providers {}", lacks.join(", ")),
                    apply,
                ),
            }
        }
        Ok(Some(cluster)) => {
            report.bad("cluster", State::Fail, format!("{} is {}", names.cluster, cluster.status), apply);
        }
        Ok(None) => report.bad("cluster", State::Fail, format!("there is no {}", names.cluster), apply),
        Err(error) => report.unknown("cluster", &error),
    }
    usable
}

fn table(name: &str, shape: &TableShape, report: &mut Report) -> bool {
    let keys = (shape.keys.0.as_str(), shape.keys.1.as_str());
    let has_index = shape.indexes.iter().any(|(n, hash, range)| (&**n, &**hash, &**range) == INDEX);
    if shape.status != "ACTIVE" {
        let saw = format!("{name} is {}", shape.status);
        report.bad("table", State::Fail, saw, "wait until it is ACTIVE");
        return false;
    }
    if keys != TABLE_KEYS || !has_index {
        let saw = format!("{name} has not the keys (pk, sk) and the index list (lk, lp)");
        report.bad("table", State::Fail, saw, "it is another program's; name the right one under 'aws'");
        return false;
    }
    report.ok("table", name);
    match shape.has_recovery {
        Some(true) => report.ok("backups", "point-in-time recovery is on"),
        Some(false) => report.bad(
            "backups",
            State::Warn,
            "point-in-time recovery is off",
            "point_in_time_recovery = true, where history matters",
        ),
        None => report.unknown("backups", &InspectError("could not be read".to_owned())),
    }
    if !shape.is_protected {
        report.bad(
            "deletion",
            State::Warn,
            "the table may be deleted",
            "deletion_protection = true, where history matters",
        );
    }
    if shape.ttl.as_deref() != Some(TTL) {
        report.bad("expiry", State::Warn, "items do not expire", format!("TTL on the attribute '{TTL}'"));
    }
    true
}

/// The pipelines of the project: deployed, in which version, with machines that are there.
async fn pipelines(
    folder: &ProjectFolder,
    there: &std::rc::Rc<There>,
    inspect: &Inspect,
    context: &Context,
    roles: &mut Roles,
    report: &mut Report,
) -> Result<Vec<Deployment>, Failure> {
    let store = Store::there(there);
    let objects = AnyObjects::There(std::rc::Rc::clone(there));
    let (mut deployments, mut waited_for) = (Vec::new(), BTreeSet::new());
    for found in folder.pipelines()? {
        let name = format!("pipeline {}", found.name);
        let record = match store.pipeline(&found.name).await {
            Ok(record) => record,
            Err(failure) => {
                report.bad(&name, State::Unknown, failure.message, "allow your role to read the table");
                continue;
            }
        };
        let Some(record) = record else {
            let fix = format!("cauce deploy --env {}", context.env);
            report.bad(&name, State::Warn, "not deployed", fix);
            continue;
        };
        drift(&name, &found.path, &record, folder, context, report)?;
        waited_for.extend(record.buckets.iter().cloned());
        let Some(uri) = &record.deployment else {
            report.bad(&name, State::Fail, "its record names no deployment", "deploy it again");
            continue;
        };
        let document = match objects.get(uri, DEPLOYMENT_BYTES_MAX).await {
            Ok(Some(bytes)) => serde_json::from_slice::<Deployment>(&bytes).map_err(|e| e.to_string()),
            Ok(None) => Err("it is not there".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match document {
            Ok(deployment) => {
                machines(&name, &deployment, inspect, roles, report).await;
                deployments.push(deployment);
            }
            Err(reason) => {
                let saw = format!("the deployment {uri} cannot be read: {reason}");
                report.bad(&name, State::Fail, saw, "deploy it again");
            }
        }
    }
    buckets(&waited_for, inspect, report).await;
    Ok(deployments)
}

/// The buckets that files are waited for in.
async fn buckets(names: &BTreeSet<String>, inspect: &Inspect, report: &mut Report) {
    for bucket in names {
        let name = format!("bucket {bucket}");
        match inspect.bucket(bucket).await {
            Ok(true) => report.ok(&name, "files are waited for in it"),
            Ok(false) => report.bad(
                &name,
                State::Fail,
                "files are waited for in it, and it is not there",
                "make it, or correct its name under 'values' in cauce.yaml and deploy",
            ),
            Err(error) => report.unknown(&name, &error),
        }
    }
}

/// Whether what is deployed is what the files compile to.
fn drift(
    name: &str,
    path: &std::path::Path,
    record: &PipelineRecord,
    folder: &ProjectFolder,
    context: &Context,
    report: &mut Report,
) -> Result<(), Failure> {
    let shown = project::shown(path, context);
    let compiled = project::compiled(path, folder, context)?.map(|(_, compiled)| compiled);
    let mut state = if record.paused { ", paused" } else { "" }.to_owned();
    if let Some(canary) = &record.canary {
        let _ =
            write!(state, ", {} % of its runs on the canary {}", canary.percent, short(&canary.of.version));
    }
    let on_trial = record.canary.as_ref().map(|canary| &*canary.of.version);
    match compiled {
        None => {
            let fix = format!("cauce check {shown}");
            report.bad(name, State::Warn, format!("{shown} does not pass its checks"), fix);
        }
        Some(compiled) if on_trial.unwrap_or(&record.version) == compiled.version() => {
            report.ok(name, format!("version {}{state}", short(&record.version)));
        }
        Some(compiled) => {
            let (there, here) = (short(&record.version), short(compiled.version()));
            let saw = format!("version {there} is deployed{state}, {shown} compiles to {here}");
            report.bad(name, State::Warn, saw, format!("cauce deploy --env {}", context.env));
        }
    }
    Ok(())
}

async fn machines(
    name: &str,
    deployment: &Deployment,
    inspect: &Inspect,
    roles: &mut Roles,
    report: &mut Report,
) {
    let mut arns: Vec<&String> = vec![&deployment.machine];
    arns.extend(deployment.machines.values());
    let (mut problems, mut unseen) = (Vec::new(), None);
    for arn in arns {
        match inspect.machine(arn).await {
            Ok(Some(shape)) => {
                roles.add(&shape.role, &format!("the machines of {}", deployment.pipeline));
                if shape.status != "ACTIVE" {
                    problems.push(format!("{arn} is {}", shape.status));
                }
            }
            Ok(None) => problems.push(format!("there is no {arn}")),
            Err(error) => unseen = Some(error),
        }
    }
    if !problems.is_empty() {
        report.bad(&format!("{name}: machines"), State::Fail, problems.join(", "), "deploy it again");
    } else if let Some(error) = unseen {
        report.unknown(&format!("{name}: machines"), &error);
    }
    let network = deployment.run_task.get("NetworkConfiguration");
    let subnets = network.and_then(|network| network.pointer("/AwsvpcConfiguration/Subnets"));
    let has_subnets = subnets.and_then(Json::as_array).is_some_and(|subnets| !subnets.is_empty());
    if !has_subnets && !deployment.task_definitions.is_empty() {
        let fix = "the module pipelines takes them from the module network";
        report.bad(&format!("{name}: network"), State::Fail, "containers have no subnets to run in", fix);
    }
}

/// The task definitions of what is deployed, and their images.
async fn tasks(
    deployments: &[Deployment],
    names: &Names,
    inspect: &Inspect,
    fix: &str,
    roles: &mut Roles,
    report: &mut Report,
) {
    let arns: BTreeSet<&String> =
        deployments.iter().flat_map(|deployment| deployment.task_definitions.values()).collect();
    if arns.is_empty() {
        return;
    }
    let (mut problems, mut unseen, mut images) = (Vec::new(), None, BTreeSet::new());
    for arn in &arns {
        match inspect.task_definition(arn).await {
            Ok(Some(shape)) => {
                if shape.status != "ACTIVE" {
                    problems.push(format!("{arn} is {}", shape.status));
                }
                match &shape.execution_role {
                    Some(role) => roles.add(role, "ECS, which starts tasks,"),
                    None => problems.push(format!("{arn} has no execution role")),
                }
                if let Some(role) = &shape.task_role {
                    roles.add(role, &format!("the tasks of {}", arn.rsplit('/').next().unwrap_or(arn)));
                }
                images.extend(shape.images);
            }
            Ok(None) => problems.push(format!("there is no {arn}")),
            Err(error) => unseen = Some(error),
        }
    }
    if !problems.is_empty() {
        report.bad("task definitions", State::Fail, problems.join(", "), fix);
    } else if let Some(error) = unseen {
        report.unknown("task definitions", &error);
    } else {
        report.ok("task definitions", format!("{} of them", arns.len()));
    }
    let own = (names.account.as_str(), names.region.as_str());
    let fix = &format!("{fix} pushes those with 'build' in cauce.yaml; the others are pushed by hand");
    parts::images(images.iter(), own, inspect, fix, report).await;
}

/// The account's limits against what the pipelines can ask for at once.
async fn quotas(
    folder: &ProjectFolder,
    there: &There,
    report: &mut Report,
    context: &Context,
) -> Result<(), Failure> {
    let (mut widest, mut vcpus) = (0, 0.0_f64);
    for found in folder.pipelines()? {
        let Some((_, compiled)) = project::compiled(&found.path, folder, context)? else { continue };
        let largest = compiled.plan.tasks.iter().filter_map(|task| match &task.kind {
            cauce_model::plan::TaskKind::Container(container) => Some(container.cpu),
            _ => None,
        });
        let largest = f64::from(largest.max().unwrap_or_default()) / UNITS_PER_VCPU;
        widest = widest.max(compiled.forecast.widest);
        vcpus = vcpus.max(largest * compiled.forecast.widest as f64);
    }
    let quotas = there.adapters().quotas();
    let needs = [
        ("quota: Fargate", FARGATE_QUOTA, vcpus, "vCPUs"),
        ("quota: Lambda", LAMBDA_QUOTA, widest as f64, "executions at once"),
    ];
    for (name, (service, code), need, unit) in needs {
        match quotas.get(service, code).await {
            Ok(quota) if quota.value >= need => report.ok(
                name,
                format!("{} {unit}; the widest pipeline takes at most {need} at once", quota.value),
            ),
            Ok(quota) => report.bad(
                name,
                State::Warn,
                format!("{} {unit}, and one pipeline can take {need} at once", quota.value),
                format!("ask for more of '{}' in Service Quotas, or lower max_active_tasks", quota.name),
            ),
            Err(error) => report.unknown(name, &InspectError(error.to_string())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> TableShape {
        TableShape {
            status: "ACTIVE".into(),
            keys: ("pk".into(), "sk".into()),
            indexes: vec![("list".into(), "lk".into(), "lp".into())],
            is_protected: true,
            has_recovery: Some(true),
            ttl: Some("ttl".into()),
        }
    }

    fn states(shape: &TableShape) -> Vec<(String, State)> {
        let mut report = Report(Vec::new());
        table("t", shape, &mut report);
        report.0.into_iter().map(|check| (check.name, check.state)).collect()
    }

    #[test]
    fn a_table_of_the_right_shape_is_well() {
        assert!(states(&shape()).iter().all(|(_, state)| *state == State::Ok));
    }

    #[test]
    fn a_table_of_another_shape_fails_and_lost_safety_warns() {
        let other = TableShape { keys: ("id".into(), String::new()), ..shape() };
        assert_eq!(states(&other), [("table".into(), State::Fail)]);
        let bare = TableShape { indexes: Vec::new(), ..shape() };
        assert_eq!(states(&bare), [("table".into(), State::Fail)]);
        let loose = TableShape { is_protected: false, has_recovery: Some(false), ttl: None, ..shape() };
        let warned: Vec<String> =
            states(&loose).into_iter().filter(|(_, s)| *s == State::Warn).map(|(name, _)| name).collect();
        assert_eq!(warned, ["backups", "deletion", "expiry"]);
        let unseen = TableShape { has_recovery: None, ..shape() };
        assert!(states(&unseen).contains(&("backups".into(), State::Unknown)));
    }
}
