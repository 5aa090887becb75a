//! `ecs:runTask.sync`. The client token makes ECS know a repeat for 24 hours.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>

use super::{Attempt, Launch, Subject, place};
use crate::context::{Renderer, Unrendered, moment, trigger};
use cauce_model::Json;
use cauce_model::fargate::Size;
use cauce_model::plan::{Capacity, ContainerPlan, TaskPlan};
use cauce_model::record::RunRecord;
use serde_json::{Map, json};

/// Most characters of a RunTask request's overrides.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html>
pub const OVERRIDES_MAX: usize = 8192;

/// Above this many characters, what can go into the input document goes there; the rest of the room
/// is for what the platform adds.
pub const OVERRIDES_BUDGET: usize = 7500;

/// Longest ClientToken. <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
pub const CLIENT_TOKEN_MAX: usize = 64;

/// The name of the container that the overrides concern, in every task definition of ours.
pub use cauce_model::ids::CONTAINER_NAME;

/// The variables that tell a program which attempt it is, and where its output goes.
pub(super) fn identity(
    run: &RunRecord,
    task: &str,
    attempt: &Attempt<'_>,
    output_uri: &str,
) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = vec![
        ("CAUCE_PIPELINE".into(), run.run.pipeline.clone()),
        ("CAUCE_RUN_ID".into(), run.run.run_id.clone()),
        ("CAUCE_TASK".into(), task.to_owned()),
        ("CAUCE_ATTEMPT".into(), attempt.number.to_string()),
        ("CAUCE_FENCE".into(), attempt.fence.to_string()),
        ("CAUCE_LOGICAL_DATE".into(), moment(run.logical_date)),
        ("CAUCE_DATA_INTERVAL_START".into(), moment(run.data_interval_start)),
        ("CAUCE_DATA_INTERVAL_END".into(), moment(run.data_interval_end)),
        ("CAUCE_OUTPUT_URI".into(), output_uri.to_owned()),
    ];
    if let Some(index) = attempt.index {
        environment.push(("CAUCE_INDEX".into(), index.to_string()));
    }
    environment
}

/// Variables as ECS and Batch take them.
pub(super) fn pairs(environment: Vec<(String, String)>) -> Json {
    environment.into_iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect()
}

/// Renders the launch of a container task.
pub(super) fn render(
    run: &RunRecord,
    task: &TaskPlan,
    plan: &ContainerPlan,
    attempt: &Attempt<'_>,
    renderer: &Renderer<'_>,
) -> Result<Launch, Unrendered> {
    let settings = renderer.settings;
    let run_key = run.key();
    let command = match (&plan.local, settings.one_machine) {
        (Some(local), true) => renderer.argv(local)?,
        _ => renderer.argv(&plan.command)?,
    };
    let output_uri = place(settings, "outputs", &run_key, &task.name, attempt);
    let input_uri = place(settings, "inputs", &run_key, &task.name, attempt);

    let mut environment = identity(run, &task.name, attempt, &output_uri);
    // Whoever starts the program holds it to its time, and tells of its end when it has ended: until then its slots
    // are not another's. The state's own timeout only stands behind that.
    environment.push(("CAUCE_TIMEOUT_SECONDS".into(), task.timeout_seconds.to_string()));
    environment.push(("CAUCE_STOP_TIMEOUT_SECONDS".into(), task.stop_timeout_seconds.to_string()));
    for (name, value) in &plan.env {
        environment.push((name.clone(), renderer.variable(value)?));
    }

    let config = plan.config.as_ref().map(|config| renderer.tree(config)).transpose()?;
    let mut document = Map::new();
    document.insert("params".into(), run.params.clone());
    document.insert("outputs".into(), Json::Object(attempt.outputs.clone()));
    document.insert("item".into(), attempt.item.cloned().unwrap_or(Json::Null));
    document.insert("index".into(), attempt.index.map_or(Json::Null, Json::from));
    document.insert("trigger".into(), trigger(run));
    // A document is written only when it says more than the environment does: it costs a request.
    let mut with_document =
        attempt.item.is_some() || !attempt.outputs.is_empty() || !run.trigger.detail.is_null();

    let fixed: usize = command.iter().map(|word| word.len() + 4).sum::<usize>()
        + environment.iter().map(|(name, value)| name.len() + value.len() + 24).sum::<usize>()
        + "CAUCE_INPUT_URI".len()
        + input_uri.len()
        + 128;
    let mut room = OVERRIDES_BUDGET.saturating_sub(fixed);
    if let Some(config) = config {
        let text = config.to_string();
        if text.len() + 64 <= room {
            room -= text.len() + 64;
            environment.push(("CAUCE_CONFIG".into(), text));
        } else {
            document.insert("config".into(), config);
            with_document = true;
        }
    }
    let params = run.params.to_string();
    if params.len() + 64 <= room {
        environment.push(("CAUCE_PARAMS".into(), params));
    } else {
        with_document = true;
    }
    if with_document {
        environment.push(("CAUCE_INPUT_URI".into(), input_uri.clone()));
    }

    let environment = pairs(environment);
    let mut overrides = Map::new();
    // The task's own size. No task definition of ours says one for its container, which so gets all of it.
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
    let size = attempt.size.unwrap_or(Size { cpu: plan.cpu, memory: plan.memory });
    overrides.insert("Cpu".into(), Json::from(size.cpu.to_string()));
    overrides.insert("Memory".into(), Json::from(size.memory.to_string()));
    if let Some(gib) = plan.ephemeral_storage_gib {
        overrides.insert("EphemeralStorage".into(), json!({"SizeInGiB": gib}));
    }
    overrides.insert(
        "ContainerOverrides".into(),
        json!([{"Name": CONTAINER_NAME, "Command": command, "Environment": environment}]),
    );
    let overrides = Json::Object(overrides);
    let size = overrides.to_string().chars().count();
    if size > OVERRIDES_MAX {
        return Err(Unrendered(format!(
            "the command and environment of task '{}' have {size} characters; ECS takes {OVERRIDES_MAX}: \
             pass large values through params or outputs, which reach the task in its input document",
            task.name
        )));
    }

    let mut request = settings.run_task.clone();
    request.insert("Cluster".into(), Json::from(settings.cluster.as_str()));
    request.insert("TaskDefinition".into(), Json::from(settings.task_definition(&plan.task_definition)));
    if !settings.one_machine {
        let provider = match plan.capacity {
            Capacity::OnDemand => "FARGATE",
            Capacity::SpotThenOnDemand if attempt.avoid_spot => "FARGATE",
            Capacity::Spot | Capacity::SpotThenOnDemand => "FARGATE_SPOT",
        };
        request
            .insert("CapacityProviderStrategy".into(), json!([{"CapacityProvider": provider, "Weight": 1}]));
    }
    request.insert("Overrides".into(), overrides);
    let mut tags = vec![
        json!({"Key": "cauce:pipeline", "Value": run.run.pipeline}),
        json!({"Key": "cauce:run_key", "Value": run_key}),
        json!({"Key": "cauce:task", "Value": task.name}),
        json!({"Key": "cauce:attempt", "Value": attempt.number.to_string()}),
    ];
    if let Some(index) = attempt.index {
        tags.push(json!({"Key": "cauce:index", "Value": index.to_string()}));
    }
    request.insert("Tags".into(), Json::Array(tags));
    let subject = Subject { run, task, attempt, renderer };
    let token = subject.token(&request);
    request.insert("ClientToken".into(), token.into());

    let document = with_document.then(|| (input_uri, Json::Object(document).to_string().into_bytes()));
    Ok(Launch { request: Json::Object(request), output_uri, document })
}
