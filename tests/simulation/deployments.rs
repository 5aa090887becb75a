//! Deployments: what a run is pinned to, who may change it, and what repeats do.

use crate::world::{Sim, by_hand, compiled, deployment, epoch, host, read, script};
use cauce_compiler::Compiled;
use cauce_engine::command::{Canary, CanaryStep, Deploy, Event, Pause, Trigger};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::audit::audit_partition;
use cauce_model::deployment::DEPLOYMENT_SCHEMA;
use cauce_model::record::{PipelineRecord, Record, RunRecord, pipeline_item};
use cauce_model::{AuditRecord, Deployment, Instant, Json, RunKey};
use cauce_ports::{Objects, Table};
use serde_json::json;

const PIPELINE: &str = r#"
pipeline: sales
tasks:
  load:
    container: {image: loader, command: [load, "${{ env.lake }}"]}
"#;

/// What Terraform would hand over after it made everything.
pub(crate) fn made(compiled: &Compiled, lake: &str) -> Deployment {
    let host_name = format!("{}:{}", compiled.plan.pipeline, &compiled.version()[..12]);
    Deployment {
        schema: DEPLOYMENT_SCHEMA,
        environment: "dev".to_owned(),
        pipeline: compiled.plan.pipeline.clone(),
        version: compiled.version().to_owned(),
        machine: host_name,
        machines: cauce_compiler::lifecycle::machines()
            .iter()
            .map(|(kind, _)| ((*kind).to_owned(), (*kind).to_owned()))
            .collect(),
        cluster: "the-cluster".to_owned(),
        run_task: json!({"PlatformVersion": "1.4.0"}).as_object().unwrap().clone(),
        task_definitions: [("loader".to_owned(), format!("loader:{lake}"))].into(),
        values: json!({"lake": lake}).as_object().unwrap().clone(),
    }
}

/// Leaves the plan where Terraform would, and the machines where AWS would have them.
pub(crate) async fn staged<T: Table + 'static>(host: &Sim<T>, compiled: &Compiled) -> String {
    host.load(&deployment(compiled)).await.unwrap();
    let uri = format!("s3://state/documents/staged/{}.json", compiled.plan.pipeline);
    host.world().objects.put(&uri, &serde_json::to_vec(&compiled.plan).unwrap()).await.unwrap();
    uri
}

pub(crate) async fn deploy<T: Table + 'static>(
    host: &Sim<T>,
    compiled: &Compiled,
    made: Deployment,
) -> Reply {
    let plan = staged(host, compiled).await;
    let request =
        Deploy { plan, deployment: made, canary: None, new_paused: false, by: Some("terraform".to_owned()) };
    host.execute(&Command::Deploy(Box::new(request))).await.unwrap()
}

pub(crate) async fn audit(host: &Sim) -> Vec<AuditRecord> {
    let day = audit_partition("1997-01-06");
    let page = host.world().table.query(&day, "", None, 1000).await.unwrap();
    page.items.iter().map(|item| AuditRecord::from_item(item).unwrap()).collect()
}

fn actions(entries: &[AuditRecord]) -> Vec<&str> {
    entries.iter().map(|entry| entry.action.as_str()).collect()
}

pub(crate) fn new_host() -> Sim {
    host(MemoryTable::new(), MemoryObjects::default(), script(json!({}), json!({})), epoch())
}

/// The commands and the task definitions with which programs were started.
async fn launched(host: &Sim, request: Trigger) -> Json {
    let key = RunKey::new(&request.pipeline, &request.run_id);
    let reply = host.execute(&Command::Trigger(Box::new(request))).await.unwrap();
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
    host.run(std::future::pending()).await.unwrap();
    let ended = read(host, &key).await;
    json!({"deployment": ended.run.deployment, "status": ended.run.status})
}

#[test]
fn a_run_keeps_what_it_is_pinned_to_until_somebody_asks_for_the_newest() {
    let host = new_host();
    let compiled = compiled(PIPELINE);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let (one, two) = (made(&compiled, "s3://one"), made(&compiled, "s3://two"));
            let [at_one, at_two] = [&one, &two].map(|made| made.uri("s3://state/documents"));
            assert!(matches!(deploy(&host, &compiled, one).await, Reply::Ok(_)));
            let first = launched(&host, by_hand(&compiled, "r1")).await;
            assert_eq!(first, json!({"deployment": at_one, "status": "success"}));

            // The same version with other values: a run that exists keeps its own.
            assert!(matches!(deploy(&host, &compiled, two).await, Reply::Ok(_)));
            let again = Trigger { params: None, ..by_hand(&compiled, "r1") };
            assert_eq!(launched(&host, again.clone()).await["deployment"], json!(at_one));
            let newest = Trigger { latest: true, ..again };
            assert_eq!(launched(&host, newest).await["deployment"], json!(at_two));
            assert_eq!(launched(&host, by_hand(&compiled, "r2")).await["deployment"], json!(at_two));

            let commands: Vec<Json> =
                host.world().programs.ran().into_iter().map(|ran| ran.request).collect();
            let told: Vec<String> = commands
                .iter()
                .map(|request| {
                    let word = &request["Overrides"]["ContainerOverrides"][0]["Command"][1];
                    format!("{} {}", request["TaskDefinition"].as_str().unwrap(), word.as_str().unwrap())
                })
                .collect();
            let (one, two) = ("loader:s3://one s3://one", "loader:s3://two s3://two");
            assert_eq!(told, [one, one, two, two]);
            assert!(commands.iter().all(|request| request["Cluster"] == "the-cluster"));
            assert!(commands.iter().all(|request| request["PlatformVersion"] == "1.4.0"));

            let entries = audit(&host).await;
            // All in one moment of virtual time, so by name.
            assert_eq!(actions(&entries), ["deploy", "deploy", "rerun", "rerun", "trigger", "trigger"]);
            let mut reruns: Vec<Json> =
                entries[2..4].iter().map(|e| e.detail["generation"].clone()).collect();
            reruns.sort_by_key(Json::as_u64);
            assert_eq!(reruns, [json!(2), json!(3)]);
            assert!(entries[2..4].iter().all(|entry| entry.run.as_deref() == Some("sales/r1")));
        })
        .unwrap();
}

#[test]
fn a_deployment_that_is_repeated_changes_nothing_and_keeps_the_pause() {
    let host = new_host();
    let compiled = compiled(PIPELINE);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let key = pipeline_item("sales");
            let first = deploy(&host, &compiled, made(&compiled, "s3://one")).await;
            let version = host.world().table.get(&key).await.unwrap().unwrap().version;
            assert_eq!(deploy(&host, &compiled, made(&compiled, "s3://one")).await, first);
            assert_eq!(host.world().table.get(&key).await.unwrap().unwrap().version, version);
            assert_eq!(audit(&host).await.len(), 1);

            let pause = cauce_model::item::Change {
                steps: vec![cauce_model::item::Step::Set("paused".into(), json!(true))],
            };
            let always = cauce_model::item::When::always();
            host.world().table.update(&key, &pause, &always).await.unwrap();
            deploy(&host, &compiled, made(&compiled, "s3://two")).await;
            let item = host.world().table.get(&key).await.unwrap().unwrap();
            assert!(PipelineRecord::from_item(&item).unwrap().paused);
        })
        .unwrap();
}

const TICKING: &str = r#"
pipeline: sales
schedule: {cron: "0 2 * * *"}
tasks:
  load:
    container: {image: loader, command: [load, "${{ env.lake }}"]}
"#;

/// The canary's share is by run: each tick takes the version that its run's id falls to, again and again.
#[test]
fn a_canary_takes_its_share_until_it_is_promoted_or_aborted() {
    let host = new_host();
    let stable = compiled(TICKING);
    let newer = compiled(&TICKING.replace("[load,", "[load_better,"));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            // Images change without the plan: one version, two deployments.
            let (one, two, three) =
                (made(&stable, "s3://one"), made(&stable, "s3://two"), made(&newer, "s3://three"));
            let trial = |made: &Deployment| made.uri("s3://state/documents");
            assert!(matches!(offer(&host, &stable, &one, Some(30)).await, Reply::Ok(_)));
            let record = pipeline(&host).await;
            assert_eq!((record.canary, record.deployment), (None, Some(trial(&one))), "beside nothing");

            for made in [(&stable, &two), (&newer, &three)] {
                let (compiled, made) = made;
                assert!(matches!(offer(&host, compiled, made, Some(30)).await, Reply::Ok(_)));
                let record = pipeline(&host).await;
                assert_eq!(record.deployment, Some(trial(&one)));
                assert_eq!(record.canary.as_ref().map(|canary| canary.percent), Some(30));
                let mut taken = 0;
                for day in 1..=28 {
                    let run = tick(&host, made, day).await;
                    let canary = record.canary_of(&run.run.run_id).is_some();
                    taken += usize::from(canary);
                    let wanted = if canary { made } else { &one };
                    assert_eq!(run.deployment, Some(trial(wanted)), "{}", run.run);
                    assert_eq!(run.version, wanted.version, "{}", run.run);
                    let again = tick(&host, made, day).await;
                    assert_eq!((again.deployment, again.generation), (run.deployment, 1));
                }
                assert!((3..15).contains(&taken), "{taken} of 28");
                step(&host, CanaryStep::Share(0)).await;
                let record = pipeline(&host).await;
                assert!((0..1000).all(|id| record.canary_of(&id.to_string()).is_none()));
            }

            // Everybody, and nobody.
            step(&host, CanaryStep::Promote).await;
            let record = pipeline(&host).await;
            assert_eq!((record.version, record.deployment), (three.version.clone(), Some(trial(&three))));
            assert_eq!(record.canary, None);
            assert!(matches!(offer(&host, &stable, &one, Some(99)).await, Reply::Ok(_)));
            step(&host, CanaryStep::Abort).await;
            assert_eq!(pipeline(&host).await.deployment, Some(trial(&three)));
            let refused = host.execute(&Command::Canary(canary(CanaryStep::Abort))).await.unwrap();
            assert!(matches!(refused, Reply::Failure { ref cause, .. } if cause == "sales has no canary"));

            // A deployment without a share ends the trial, and destroying the canary takes the pipeline away.
            assert!(matches!(offer(&host, &stable, &one, Some(5)).await, Reply::Ok(_)));
            assert!(matches!(offer(&host, &stable, &two, None).await, Reply::Ok(_)));
            let record = pipeline(&host).await;
            assert_eq!((record.canary, record.deployment), (None, Some(trial(&two))));
            assert!(matches!(offer(&host, &newer, &three, Some(5)).await, Reply::Ok(_)));
            let undeploy = Command::Undeploy { deployment: Box::new(three.clone()), by: None };
            assert_eq!(
                host.execute(&undeploy).await.unwrap(),
                Reply::Ok(json!({"pipeline": "sales", "status": "undeployed"}))
            );

            let steps: Vec<Json> = audit(&host)
                .await
                .into_iter()
                .filter(|entry| entry.action == "canary")
                .map(|entry| entry.detail["step"].clone())
                .collect();
            assert_eq!(steps.len(), 4, "{steps:?}");
        })
        .unwrap();
}

#[test]
fn a_new_pipeline_may_begin_paused() {
    let host = new_host();
    let (stable, newer) = (compiled(TICKING), compiled(&TICKING.replace("[load,", "[load_better,")));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let paused = async |compiled: &Compiled, new_paused: bool| {
                let (plan, deployment) = (staged(&host, compiled).await, made(compiled, "s3://one"));
                let request = Deploy { plan, deployment, canary: None, new_paused, by: None };
                let reply = host.execute(&Command::Deploy(Box::new(request))).await.unwrap();
                assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
                pipeline(&host).await.paused
            };
            assert!(paused(&stable, true).await);
            assert!(paused(&newer, false).await, "it is not new any more");
            let pause = Pause { pipeline: "sales".into(), paused: false, by: None, unknown: None };
            host.execute(&Command::Pause(Box::new(pause))).await.unwrap();
            assert!(!paused(&stable, true).await);
        })
        .unwrap();
}

#[test]
fn a_canary_cannot_change_what_starts_runs() {
    let host = new_host();
    let stable = compiled(TICKING);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &stable, made(&stable, "s3://one")).await;
            let zoned = "tasks:";
            for (from, to, what) in [
                ("0 2 * * *", "0 3 * * *", "schedules"),
                (
                    zoned,
                    "triggers: [{file: {bucket: drop, keys: [\"{date:date}.csv\"]}}]\ntasks:",
                    "triggers",
                ),
                (zoned, "paused: true\ntasks:", "'paused'"),
            ] {
                let other = compiled(&TICKING.replacen(from, to, 1));
                let refused = offer(&host, &other, &made(&other, "s3://one"), Some(10)).await;
                let cause = format!("a canary of sales cannot change its {what}: deploy it without a share");
                assert!(
                    matches!(refused, Reply::Failure { cause: ref told, .. } if *told == cause),
                    "{refused:?}"
                );
                assert_eq!(pipeline(&host).await.version, stable.version());
            }
        })
        .unwrap();
}

async fn offer(host: &Sim, compiled: &Compiled, made: &Deployment, canary: Option<u8>) -> Reply {
    let plan = staged(host, compiled).await;
    let request = Deploy { plan, deployment: made.clone(), canary, new_paused: false, by: None };
    host.execute(&Command::Deploy(Box::new(request))).await.unwrap()
}

fn canary(step: CanaryStep) -> Canary {
    Canary { pipeline: "sales".to_owned(), step, by: Some("jo".to_owned()) }
}

async fn step(host: &Sim, step: CanaryStep) {
    let reply = host.execute(&Command::Canary(canary(step))).await.unwrap();
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

async fn pipeline(host: &Sim) -> PipelineRecord {
    let item = host.world().table.get(&pipeline_item("sales")).await.unwrap().unwrap();
    PipelineRecord::from_item(&item).unwrap()
}

/// The run of a day's tick, in the month after the one of the deployments' other ticks.
async fn tick(host: &Sim, made: &Deployment, day: u32) -> RunRecord {
    let month = if made.values["lake"] == "s3://two" { 3 } else { 4 };
    let scheduled_at = Instant::parse(&format!("1997-{month:02}-{day:02}T02:00:00Z")).unwrap();
    let event = Event::Tick { pipeline: "sales".into(), schedule: "schedule-1".into(), scheduled_at };
    let reply = host.execute(&Command::Event(Box::new(event))).await.unwrap();
    let Reply::Ok(reply) = reply else { panic!("{reply:?}") };
    let (pipeline, run_id) = reply["run"].as_str().unwrap().split_once('/').unwrap();
    read(host, &RunKey::new(pipeline, run_id)).await.run
}

#[test]
fn an_undeploy_of_what_has_been_replaced_is_left_alone() {
    let host = new_host();
    let compiled = compiled(PIPELINE);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let (one, two) = (made(&compiled, "s3://one"), made(&compiled, "s3://two"));
            deploy(&host, &compiled, one.clone()).await;
            deploy(&host, &compiled, two.clone()).await;
            let undeploy =
                |made: &Deployment| Command::Undeploy { deployment: Box::new(made.clone()), by: None };
            let status = |reply: Reply| match reply {
                Reply::Ok(reply) => reply["status"].as_str().unwrap().to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(status(host.execute(&undeploy(&one)).await.unwrap()), "replaced");
            assert_eq!(status(host.execute(&undeploy(&two)).await.unwrap()), "undeployed");
            assert_eq!(status(host.execute(&undeploy(&two)).await.unwrap()), "absent");
            assert_eq!(actions(&audit(&host).await), ["deploy", "deploy", "undeploy"]);
            let request = Command::Trigger(Box::new(by_hand(&compiled, "r1")));
            let reply = host.execute(&request).await.unwrap();
            assert!(
                matches!(reply, Reply::Failure { ref cause, .. } if cause.contains("no pipeline")),
                "{reply:?}"
            );
        })
        .unwrap();
}

#[test]
fn a_plan_of_another_version_or_without_its_machines_is_refused() {
    let host = new_host();
    let compiled = compiled(PIPELINE);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let good = made(&compiled, "s3://one");
            let cases = [
                (Deployment { version: "0".repeat(64), ..good.clone() }, "is the plan of sales"),
                (Deployment { version: "../x".into(), ..good.clone() }, "is not a pipeline version"),
                (Deployment { pipeline: "Sales".into(), ..good.clone() }, "is not the name of a pipeline"),
                (Deployment { machines: [].into(), ..good.clone() }, "needs the machine 'container'"),
                (
                    Deployment { task_definitions: [].into(), ..good.clone() },
                    "needs the task definition 'loader'",
                ),
                (Deployment { schema: DEPLOYMENT_SCHEMA + 1, ..good }, "is newer than"),
            ];
            for (made, words) in cases {
                let reply = deploy(&host, &compiled, made).await;
                assert!(
                    matches!(reply, Reply::Failure { ref cause, .. } if cause.contains(words)),
                    "{reply:?}"
                );
            }
            assert!(host.world().table.get(&pipeline_item("sales")).await.unwrap().is_none());
            assert!(audit(&host).await.is_empty());
        })
        .unwrap();
}

#[test]
fn every_kind_that_launches_needs_its_machine() {
    let host = new_host();
    let clock = host.world().clock.clone();
    let kinds = [
        ("approval: go?", "approval"),
        ("athena: \"SELECT 1\"", "athena"),
        ("batch: {job_definition: d, queue: q}", "batch"),
        ("emr_serverless: {application: a, role: r, spark: \"s3://code/job.py\"}", "emr_serverless"),
        ("glue: curate", "glue"),
        ("http: {url: \"https://example.com\", connection: c}", "http"),
        ("lambda: resize", "lambda"),
        ("pipeline: {name: other}", "pipeline"),
        ("state_machine: legacy", "state_machine"),
        ("state_machine: {machine: legacy, wait: false}", "state_machine_started"),
    ];
    clock
        .block_on(async {
            for (task, kind) in kinds {
                let compiled = compiled(&format!("pipeline: sales\ntasks:\n  load: {{{task}}}\n"));
                let good = made(&compiled, "s3://one");
                let mut without = good.clone();
                assert!(without.machines.remove(kind).is_some(), "{kind}");
                let reply = deploy(&host, &compiled, without).await;
                let words = format!("task 'load' needs the machine '{kind}', which");
                assert!(
                    matches!(reply, Reply::Failure { ref cause, .. } if cause.contains(&words)),
                    "{kind}: {reply:?}"
                );
                // What stands in for it on one machine is no task definition that a deployment has to name.
                let reply =
                    deploy(&host, &compiled, Deployment { task_definitions: [].into(), ..good }).await;
                assert!(matches!(reply, Reply::Ok(_)), "{kind}: {reply:?}");
            }
        })
        .unwrap();
}
