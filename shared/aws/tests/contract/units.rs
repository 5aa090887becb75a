//! What a run costs in the table: real decisions, in the order in which the functions make them, and the
//! units that each consumes.
//!
//! The units are those that the emulated cloud reports by AWS's rules (`infra/emulator/tests/test_capacity.py`
//! holds it to them). docs/aws-store.md states the same figures, and `cauce_compiler::prices` counts by them.

use crate::server::{Kind, start};
use cauce_aws::table::{DynamoTable, Units};
use cauce_driver::{Driver, observed, payload};
use cauce_engine::{Reply, Settings};
use cauce_model::plan::RetryPlan;
use cauce_model::{Instant, Json};
use cauce_ports::{Answer, Objects};
use cauce_testkit::stage::Stage;
use serde_json::json;

const DOCUMENTS: &str = "s3://cauce-dev-documents-123456789012";
const PROGRAM: &str = "arn:aws:ecs:us-east-1:123456789012:task/cauce-dev/c13b4cb40f1f4fe4a2971f76ae5a47ad";

fn arn(what: &str) -> String {
    format!("arn:aws:states:us-east-1:123456789012:stateMachine:cauce-dev-{what}")
}

/// A scheduled pipeline of two containers, one after the other, each with a small output, and a `pass`.
fn plan() -> Json {
    let task = |name: &str, needs: &[u32]| {
        json!({
            "name": name, "needs": needs,
            "kind": {"type": "container", "image": "worker", "task_definition": "worker", "cpu": 256, "memory": 512,
                     "command": ["python", "/app/load.py", "--date", "{{ ds }}", "--to", "s3://lake/raw/sales"]},
            "timeout_seconds": 1800, "start_timeout_seconds": 600, "stop_timeout_seconds": 30,
            "retry": {"retries": 3, "delay_seconds": 300.0, "backoff": 2.0, "max_delay_seconds": 1800.0,
                      "jitter": 0.1, "infrastructure_retries": 5},
            "returns": {"path": "string", "rows": "integer"},
        })
    };
    json!({
        "schema": 1, "pipeline": "sales_batch", "timezone": "UTC", "max_active_runs": 1, "version": "0".repeat(64),
        "schedules": [{"every": {"cron": "0 2 * * *"}, "timezone": "UTC", "data_interval": true, "catchup": "last",
                       "dst_gap": "run_after"}],
        "tasks": [
            task("extract", &[]), task("curate", &[0]),
            {"name": "finish", "needs": [1], "kind": {"type": "pass"}, "timeout_seconds": 60,
             "start_timeout_seconds": 60, "stop_timeout_seconds": 30, "retry": RetryPlan::default()},
        ],
    })
}

struct Scene {
    driver: Driver<Stage<DynamoTable>>,
    table: DynamoTable,
    told: Vec<(&'static str, Units)>,
}

impl Scene {
    async fn carry_out(&mut self, name: &'static str, command: cauce_engine::Command) -> Json {
        let before = self.table.consumed().so_far();
        let reply = self.driver.execute(&command).await.unwrap();
        self.told.push((name, self.table.consumed().so_far().since(before)));
        self.driver.ports().pass(60);
        match reply {
            Reply::Ok(reply) => reply,
            Reply::None => Json::Null,
            Reply::Failure { error, cause } => panic!("{name}: {error}: {cause}"),
        }
    }

    fn answer(&self, token: &str) -> Json {
        match self.driver.ports().answer_to(token) {
            Some(Answer::Success(result)) => result,
            other => panic!("{token}: {other:?}"),
        }
    }

    /// A task from its Begin to the event of its container's end.
    async fn task(&mut self, task: &str, run: &Json, names: [&'static str; 3]) {
        let token = "AQCEAAAAKgAAAAMAAAAA".repeat(40);
        let mut payload = json!({
            "run_key": run["run_key"], "generation": 1, "version": run["version"], "task": task, "index": null,
            "token": token, "entered_at": "2026-01-06T02:01:00.123Z", "retry_count": 0,
        });
        self.carry_out(names[0], payload::command("begin-task", &payload).unwrap()).await;
        let answer = self.answer(&token);
        let overrides = &answer["launch"]["Overrides"]["ContainerOverrides"][0]["Environment"];
        let variable = |name: &str| {
            let found = overrides.as_array().unwrap().iter().find(|variable| variable["Name"] == name);
            found.unwrap()["Value"].as_str().unwrap().to_owned()
        };
        let output = json!({"path": "s3://lake/raw/sales/2026-01-05.parquet", "rows": 120_000});
        let objects = self.driver.services();
        objects.put(&variable("CAUCE_OUTPUT_URI"), output.to_string().as_bytes()).await.unwrap();
        payload["fence"] = answer["fence"].clone();
        payload["result"] = json!({
            "StopCode": "EssentialContainerExited", "TaskArn": PROGRAM, "Containers": [{"ExitCode": 0}],
        });
        self.carry_out(names[1], payload::command("finish-task", &payload).unwrap()).await;
        let names_it = ["CAUCE_PIPELINE", "CAUCE_RUN_ID", "CAUCE_TASK", "CAUCE_ATTEMPT"]
            .map(|name| json!({"name": name, "value": variable(name)}));
        let stopped = json!({
            "detail-type": observed::PROGRAM_EVENT, "source": "aws.ecs",
            "detail": {
                "lastStatus": "STOPPED", "stopCode": "EssentialContainerExited",
                "taskArn": PROGRAM,
                "containers": [{"name": "main", "exitCode": 0}],
                "overrides": {"containerOverrides": [{"name": "main", "environment": names_it}]},
            },
        });
        self.carry_out(names[2], observed::command(&stopped, "cauce-dev").unwrap().unwrap()).await;
    }
}

#[tokio::test]
async fn a_run_consumes_what_is_said_of_it() {
    let Some(server) = start(Kind::Ministack) else { return };
    let table = server.table("cauce-dev-store").await;
    let stage = Stage::new(table.clone(), Instant::parse("2026-01-06T02:00:00Z").unwrap());
    let settings = Settings { documents: DOCUMENTS.to_owned(), ..Settings::default() };
    let plan_uri = format!("{DOCUMENTS}/staged/plan.json");
    stage.put(&plan_uri, plan().to_string().as_bytes()).await.unwrap();
    let mut scene = Scene { driver: Driver::new(stage, settings), table, told: Vec::new() };
    let deployed = json!({"source": "cauce.deployment", "detail": {"plan": plan_uri, "deployment": {
        "schema": 1, "environment": "dev", "pipeline": "sales_batch", "version": "0".repeat(64),
        "machine": format!("{}:3", arn("sales_batch")),
        "machines": {"container": format!("{}:2", arn("task-container"))},
        "cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/cauce-dev",
        "run_task": {
            "PlatformVersion": "LATEST", "EnableECSManagedTags": true, "PropagateTags": "TASK_DEFINITION",
            "NetworkConfiguration": {"AwsvpcConfiguration": {
                "Subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                "SecurityGroups": ["sg-0123456789abcdef0"], "AssignPublicIp": "ENABLED"}},
        },
        "task_definitions": {"worker": "arn:aws:ecs:us-east-1:123456789012:task-definition/cauce-dev-worker:7"},
    }}});
    scene.carry_out("deploy", payload::deployment(&deployed).unwrap()).await;
    scene.told.clear();

    let tick = json!({"source": "cauce.schedule", "detail": {
        "pipeline": "sales_batch", "schedule": "schedule-1", "scheduled_at": "2026-01-06T02:00:00Z"}});
    scene.carry_out("tick", payload::event(&tick).unwrap()).await;
    let token = "AQCEAAAAKgAAAAMAAAAA".repeat(40);
    let run = cauce_model::ids::RunRef { pipeline: "sales_batch".into(), run_id: "2026-01-05".into() };
    let input = json!({"run_key": run.key(), "generation": 1});
    let opened = json!({"pipeline": "sales_batch", "version": "0".repeat(64), "execution": "2026-01-05-g1",
                        "input": input, "token": token});
    scene.carry_out("open", payload::command("open-run", &opened).unwrap()).await;
    let run = scene.answer(&token);
    scene.task("extract", &run, ["begin extract", "finish extract", "stopped extract"]).await;
    scene.task("curate", &run, ["begin curate", "finish curate", "stopped curate"]).await;
    let token = format!("{token}pass");
    let begin = json!({
        "run_key": run["run_key"], "generation": 1, "version": run["version"], "task": "finish", "index": null,
        "token": token, "entered_at": "2026-01-06T02:11:00.123Z", "retry_count": 0,
    });
    scene.carry_out("pass", payload::command("begin-task", &begin).unwrap()).await;
    scene.answer(&token);
    scene.carry_out("close", payload::command("close-run", &input).unwrap()).await;
    let ended = json!({
        "detail-type": observed::EXECUTION_EVENT, "source": "aws.states",
        "detail": {"stateMachineArn": arn("sales_batch"), "name": "2026-01-05-g1", "status": "SUCCEEDED",
                   "input": input.to_string()},
    });
    scene.carry_out("succeeded", observed::command(&ended, "cauce-dev").unwrap().unwrap()).await;

    let units = |read, written| Units { read, written };
    let wanted = [
        ("tick", units(5.0, 10.0)),
        ("open", units(1.0, 3.0)),
        ("begin extract", units(2.0, 3.0)),
        ("finish extract", units(2.0, 3.0)),
        ("stopped extract", units(2.0, 0.0)),
        // One read for each upstream.
        ("begin curate", units(3.0, 3.0)),
        ("finish curate", units(2.0, 3.0)),
        ("stopped curate", units(2.0, 0.0)),
        ("pass", units(3.0, 1.0)),
        ("close", units(2.0, 7.0)),
        ("succeeded", units(1.0, 0.0)),
    ];
    assert_eq!(scene.told, wanted);
}
