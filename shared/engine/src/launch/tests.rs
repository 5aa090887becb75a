//! What each service is asked, as on AWS, and what its answer leaves.

use super::*;
use crate::context;
use cauce_model::Instant;
use cauce_model::fargate::Size;
use serde_json::json;

fn run() -> RunRecord {
    serde_json::from_value(json!({
        "run": {"pipeline": "ventas", "run_id": "1997-01-05"}, "generation": 1, "version": "v", "status": "running",
        "trigger": {"kind": "manual", "detail": null}, "params": {"region": "EU"},
        "logical_date": at(), "data_interval_start": at(), "data_interval_end": at(), "timezone": "UTC",
        "created_at": at(), "execution": "1997-01-05-g1", "machine": "m",
    }))
    .unwrap()
}

fn at() -> Instant {
    Instant::parse("1997-01-05T00:00:00Z").unwrap()
}

fn aws() -> Settings {
    Settings {
        documents: "s3://documents".to_owned(),
        cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/cauce-dev".to_owned(),
        env: json!({"role": "arn:aws:iam::123456789012:role/etl"}).as_object().unwrap().clone(),
        ..Settings::default()
    }
}

fn task(kind: Json) -> TaskPlan {
    serde_json::from_value(json!({
        "name": "load", "kind": kind, "timeout_seconds": 90, "start_timeout_seconds": 600,
        "stop_timeout_seconds": 30, "retry": serde_json::to_value(cauce_model::plan::RetryPlan::default()).unwrap(),
    }))
    .unwrap()
}

fn service(service: Json) -> TaskPlan {
    task(json!({"type": "call", "service": service}))
}

fn launch_in(
    settings: &Settings,
    task: &TaskPlan,
    number: u32,
    run: &RunRecord,
) -> Result<Launch, Unrendered> {
    launch_with(settings, task, number, run, None)
}

fn launch_with(
    settings: &Settings,
    task: &TaskPlan,
    number: u32,
    run: &RunRecord,
    size: Option<Size>,
) -> Result<Launch, Unrendered> {
    let outputs = context::Outputs::default();
    let context = context::context(run, &outputs, &context::Attempt { number, item: None });
    let avoid_spot = number > 1;
    let attempt =
        Attempt { number, index: None, fence: 1, item: None, outputs: &outputs.values, size, avoid_spot };
    render(run, task, &attempt, &Renderer { context: &context, settings })
}

fn request_of(service: Json) -> Json {
    launch_in(&aws(), &self::service(service), 1, &run())
        .unwrap_or_else(|error| panic!("{}", error.0))
        .request
}

/// The request without its token, which must be well-formed and another one for another attempt.
fn without_token(service: Json, token: &str) -> Json {
    let mut request = request_of(service.clone());
    let second = launch_in(&aws(), &self::service(service.clone()), 2, &run()).map(|launch| launch.request);
    let found = request[token].as_str().unwrap().to_owned();
    assert_eq!(found.len(), CLIENT_TOKEN_MAX);
    assert_eq!(request_of(service)[token], found.as_str(), "a repeat has the same token");
    assert_ne!(second.unwrap_or(Json::Null)[token], found.as_str());
    request.as_object_mut().unwrap().remove(token);
    request
}

fn output_of(service: Json, result: Json) -> Json {
    let TaskKind::Call(call) = self::service(service).kind else { panic!("a call") };
    output(&call.service, &result).map(Json::Object).unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[test]
fn an_attempt_after_one_that_ran_out_of_memory_overrides_the_size_of_its_task() {
    let plan = task(json!({"type": "container", "image": "x", "command": ["run"], "task_definition": "x",
                           "cpu": 256, "memory": 512}));
    let sized = |size| launch_with(&aws(), &plan, 2, &run(), size).map(|launch| launch.request);
    let grown = sized(Some(Size { cpu: 512, memory: 4096 })).unwrap_or_else(|error| panic!("{}", error.0));
    let usual = sized(None).unwrap_or_else(|error| panic!("{}", error.0));
    assert_eq!((&usual["Overrides"]["Cpu"], &usual["Overrides"]["Memory"]), (&json!("256"), &json!("512")));
    assert_eq!((&grown["Overrides"]["Cpu"], &grown["Overrides"]["Memory"]), (&json!("512"), &json!("4096")));
    // A limit of the container's own would have to fit in the task's: there is none.
    assert_eq!(grown["Overrides"]["ContainerOverrides"][0].get("Memory"), None);
    assert_ne!(usual["ClientToken"], grown["ClientToken"]);
}

#[test]
fn lambda() {
    let plan = json!({"lambda": {"function": "resize", "payload": {"day": "{{ ds }}", "n": [1]}, "qualifier": "live"}});
    let expected =
        json!({"FunctionName": "resize", "Payload": {"day": "1997-01-05", "n": [1]}, "Qualifier": "live"});
    assert_eq!(request_of(plan.clone()), expected);
    let answer = |payload: Json| json!({"ExecutedVersion": "1", "Payload": payload, "StatusCode": 200});
    assert_eq!(output_of(plan.clone(), answer(json!({"rows": 3}))), json!({"rows": 3}));
    assert_eq!(output_of(plan.clone(), answer(json!([1]))), json!({"payload": [1]}));
    assert_eq!(output_of(plan, answer(Json::Null)), json!({}));
}

#[test]
fn glue() {
    let plan = json!({"glue": {"job": "curate", "arguments": {"day": "{{ ds }}", "--n": 3}, "worker_type": "G.1X", "workers": 4}});
    assert_eq!(
        request_of(plan.clone()),
        json!({"JobName": "curate", "Arguments": {"--n": "3", "--day": "1997-01-05"}, "WorkerType": "G.1X",
               "NumberOfWorkers": 4, "Timeout": 2})
    );
    let done = json!({"Id": "jr_1", "JobName": "curate", "JobRunState": "SUCCEEDED", "ExecutionTime": 61});
    assert_eq!(output_of(plan, done), json!({"job_run_id": "jr_1", "execution_seconds": 61}));
}

#[test]
fn emr_serverless() {
    let driver = json!({"SparkSubmit": {"EntryPoint": "s3://code/job.py", "EntryPointArguments": ["{{ [ds, 2] }}", "x"]}});
    let plan =
        json!({"emr_serverless": {"application": "app", "role": "${{ env.role }}", "job_driver": driver}});
    let name = format!("{}-g1-load-{}-a1", run().key(), &sha256_hex("load")[..8]);
    assert_eq!(
        without_token(plan.clone(), "ClientToken"),
        json!({"ApplicationId": "app", "ExecutionRoleArn": "arn:aws:iam::123456789012:role/etl",
               "JobDriver": {"SparkSubmit": {"EntryPoint": "s3://code/job.py", "EntryPointArguments": ["1997-01-05", "2", "x"]}},
               "ExecutionTimeoutMinutes": 2, "Name": name})
    );
    let done = json!({"JobRun": {"ApplicationId": "app", "JobRunId": "j1", "State": "SUCCESS"}});
    assert_eq!(output_of(plan, done), json!({"job_run_id": "j1", "application": "app"}));
}

#[test]
fn batch() {
    let plan = json!({"batch": {"job_definition": "score:3", "queue": "spot", "parameters": {"day": "{{ ds }}"},
        "command": ["python", "score.py"], "env": {"MODE": "full"}}});
    let request = request_of(plan.clone());
    assert_eq!(request["JobDefinition"], "score:3");
    assert_eq!(request["Parameters"], json!({"day": "1997-01-05"}));
    assert_eq!(request["RetryStrategy"], json!({"Attempts": 1}));
    assert_eq!(request["ContainerOverrides"]["Command"], json!(["python", "score.py"]));
    let environment = request["ContainerOverrides"]["Environment"].as_array().unwrap();
    assert!(environment.contains(&json!({"Name": "MODE", "Value": "full"})));
    assert!(environment.contains(&json!({"Name": "CAUCE_TASK", "Value": "load"})));
    let done =
        json!({"JobId": "1", "Status": "SUCCEEDED", "Container": {"ExitCode": 0, "LogStreamName": "l"}});
    assert_eq!(output_of(plan, done), json!({"job_id": "1", "log_stream": "l"}));
    let large = json!({"batch": {"job_definition": "d", "queue": "q", "env": {"A": "x".repeat(31_000)}}});
    let refused = launch_in(&aws(), &service(large), 1, &run()).err().unwrap();
    assert!(refused.0.contains("AWS Batch takes 30720"), "{}", refused.0);
}

#[test]
fn athena() {
    let plan = json!({"athena": {"query": "SELECT ? FROM t WHERE n > ?", "params": ["{{ params.region }}'s", "{{ 10 }}"],
        "workgroup": "etl", "database": "gold", "output": "s3://lake/athena/"}});
    assert_eq!(
        without_token(plan.clone(), "ClientRequestToken"),
        json!({"QueryString": "SELECT ? FROM t WHERE n > ?", "ExecutionParameters": ["'EU''s'", "10"], "WorkGroup": "etl",
               "QueryExecutionContext": {"Database": "gold"}, "ResultConfiguration": {"OutputLocation": "s3://lake/athena/"}})
    );
    let done = json!({"QueryExecution": {"QueryExecutionId": "q1", "Status": {"State": "SUCCEEDED"},
        "ResultConfiguration": {"OutputLocation": "s3://lake/athena/q1.csv"}, "Statistics": {"DataScannedInBytes": 5}}});
    let left = json!({"query_execution_id": "q1", "output": "s3://lake/athena/q1.csv", "scanned_bytes": 5});
    assert_eq!(output_of(plan, done), left);
}

#[test]
fn http() {
    let plan = json!({"http": {"method": "POST", "url": "https://erp.example.com/{{ ds }}", "headers": {"X-Run": "{{ run_id }}"},
        "query": {"dry": false, "n": [1, 2]}, "body": {"a": "{{ params.region }}"}, "connection": "arn:c", "expect": [200, 404]}});
    let mut request = request_of(plan.clone());
    let key = request["Headers"].as_object_mut().unwrap().remove("Idempotency-Key").unwrap();
    assert_eq!(key.as_str().unwrap().len(), CLIENT_TOKEN_MAX);
    assert_eq!(
        request,
        json!({"ApiEndpoint": "https://erp.example.com/1997-01-05", "Method": "POST", "Headers": {"X-Run": "1997-01-05"},
               "QueryParameters": {"dry": "false", "n": ["1", "2"]}, "RequestBody": {"a": "EU"},
               "Authentication": {"ConnectionArn": "arn:c"}})
    );
    let answer = |status: u16, body: Json| json!({"StatusCode": status, "ResponseBody": body});
    assert_eq!(output_of(plan.clone(), answer(200, json!({"id": 7}))), json!({"id": 7}));
    assert_eq!(output_of(plan.clone(), answer(200, json!("ok"))), json!({"body": "ok"}));
    let kind = service(plan.clone()).kind;
    let expected = expected(&kind, "States.Http.StatusCode.404", "{\"gone\": true}").unwrap();
    assert_eq!(output_of(plan.clone(), expected), json!({"gone": true}));
    assert_eq!(super::expected(&kind, "States.Http.StatusCode.500", ""), None);
    assert_eq!(super::expected(&kind, "States.Http.Socket", ""), None);
    let TaskKind::Call(call) = kind else { panic!("a call") };
    assert_eq!(
        output(&call.service, &answer(302, Json::Null)).unwrap_err().class,
        cauce_model::FailureClass::Exit
    );
    // AWS wants a connection and https; one machine neither.
    for plain in [
        json!({"url": "https://x", "method": "GET"}),
        json!({"url": "http://x", "method": "GET", "connection": "c"}),
    ] {
        let task = service(json!({"http": plain}));
        assert!(launch_in(&aws(), &task, 1, &run()).is_err());
        let here = Settings { one_machine: true, ..aws() };
        assert!(launch_in(&here, &task, 1, &run()).is_ok_and(|launch| !is_program(&launch.request)));
    }
}

#[test]
fn state_machine() {
    let plan = |wait: bool| json!({"state_machine": {"machine": "legacy", "input": {"day": "{{ ds }}"}, "wait": wait}});
    let request = request_of(plan(true));
    assert_eq!(request["StateMachineArn"], "arn:aws:states:eu-west-1:123456789012:stateMachine:legacy");
    assert_eq!(request["Input"], json!({"day": "1997-01-05"}));
    let name = request["Name"].as_str().unwrap();
    assert!(name.len() <= 80 && name.ends_with("-a1"), "{name}");
    let done = json!({"ExecutionArn": "arn:e", "Status": "SUCCEEDED", "Output": {"rows": 1}});
    assert_eq!(output_of(plan(true), done.clone()), json!({"rows": 1}));
    assert_eq!(output_of(plan(false), done), json!({"execution": "arn:e"}));
    assert_eq!(service(plan(false)).kind.machine(), Some("state_machine_started"));
}

#[test]
fn on_one_machine_a_program_stands_in() {
    let here = Settings { one_machine: true, ..aws() };
    let alone = task(json!({"type": "call", "service": {"glue": {"job": "curate"}}}));
    let refused = launch_in(&here, &alone, 1, &run()).err().unwrap();
    assert!(refused.0.starts_with("only AWS has 'glue'"), "{}", refused.0);
    let with =
        task(json!({"type": "call", "service": {"glue": {"job": "curate"}}, "local": ["echo", "{{ ds }}"]}));
    let request = launch_in(&here, &with, 1, &run()).map(|launch| launch.request).unwrap_or_default();
    assert!(is_program(&request));
    assert_eq!(request["TaskDefinition"], "local-load");
    assert_eq!(request["Overrides"]["ContainerOverrides"][0]["Command"], json!(["echo", "1997-01-05"]));
    // A simulation calls nothing and needs no program.
    let simulated = Settings { arrivals: Some(Default::default()), ..here };
    assert!(launch_in(&simulated, &alone, 1, &run()).is_ok_and(|launch| is_program(&launch.request)));
}

fn container(argument: usize) -> TaskPlan {
    task(
        json!({"type": "container", "image": "a", "command": ["a", "x".repeat(argument)], "task_definition": "a",
        "cpu": 256, "memory": 512, "capacity": "spot_then_on_demand"}),
    )
}

fn overrides(request: &Json) -> usize {
    request["Overrides"].to_string().chars().count()
}

#[test]
fn a_command_fills_the_overrides_to_the_last_character() {
    let small =
        launch_in(&aws(), &container(7300), 1, &run()).map(|launch| launch.request).unwrap_or_default();
    let room = OVERRIDES_MAX - overrides(&small);
    for over in 0..3 {
        // One below the limit, at it, above it.
        let size = 7300 + room - 1 + over;
        match launch_in(&aws(), &container(size), 1, &run()) {
            Ok(launch) => assert_eq!(overrides(&launch.request), OVERRIDES_MAX - 1 + over),
            Err(error) => {
                assert_eq!(over, 2, "{}", error.0);
                assert!(error.0.contains("8193 characters; ECS takes 8192"), "{}", error.0);
            }
        }
        assert_eq!(launch_in(&aws(), &container(size), 1, &run()).is_ok(), over < 2);
    }
}

#[test]
fn whoever_starts_the_program_is_told_how_long_it_may_run() {
    let told = |settings: &Settings| {
        let launch =
            launch_in(settings, &container(10), 1, &run()).unwrap_or_else(|error| panic!("{}", error.0));
        let variables = &launch.request["Overrides"]["ContainerOverrides"][0]["Environment"];
        let variables = variables.as_array().unwrap().iter();
        let value = |name: &str| {
            variables.clone().find(|pair| pair["Name"] == name).map(|pair| pair["Value"].clone())
        };
        (value("CAUCE_TIMEOUT_SECONDS"), value("CAUCE_STOP_TIMEOUT_SECONDS"))
    };
    let both = (Some("90".into()), Some("30".into()));
    assert_eq!(told(&aws()), both);
    assert_eq!(told(&Settings { one_machine: true, ..aws() }), both);
}

#[test]
fn parameters_without_room_move_to_the_input_document() {
    let mut run = run();
    run.params = json!({"list": "y".repeat(8000)});
    let launch = launch_in(&aws(), &container(10), 1, &run).unwrap_or_else(|error| panic!("{}", error.0));
    let (uri, document) = launch.document.unwrap();
    let environment = launch.request["Overrides"]["ContainerOverrides"][0]["Environment"].to_string();
    assert!(environment.contains(&uri) && !environment.contains("CAUCE_PARAMS"));
    assert_eq!(serde_json::from_slice::<Json>(&document).unwrap()["params"], run.params);
}

#[test]
fn spot_comes_first_and_on_demand_after_it_failed() {
    let provider = |number| {
        let launch = launch_in(&aws(), &container(1), number, &run());
        launch.map(|launch| launch.request["CapacityProviderStrategy"][0]["CapacityProvider"].clone())
    };
    assert_eq!(provider(1).unwrap_or_default(), "FARGATE_SPOT");
    assert_eq!(provider(2).unwrap_or_default(), "FARGATE");
}
