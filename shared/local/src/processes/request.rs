//! Reading the RunTask request of a state.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>

use cauce_model::ids::{is_name, sha256_hex};
use cauce_model::{Json, RunKey, RunRef};
use cauce_ports::{RunningTask, TaskFailure};
use std::collections::BTreeMap;

/// What a state asks to be run.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) family: String,
    pub(super) token: String,
    pub(super) command: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) identity: Identity,
    /// How long the program may run, in seconds; for ever without.
    pub(super) timeout_seconds: Option<u64>,
    /// Time between SIGTERM and SIGKILL; what its definition says without.
    pub(super) stop_timeout_seconds: Option<u32>,
}

/// Which attempt of which task of which run a program is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) run: RunRef,
    pub(super) run_key: RunKey,
    pub(super) task: String,
    pub(super) index: Option<u32>,
    pub(super) attempt: u32,
}

impl Identity {
    /// Whether the other is an attempt at the same work.
    pub(super) fn same_task(&self, other: &Self) -> bool {
        (&self.run_key, &self.task, self.index) == (&other.run_key, &other.task, other.index)
    }

    pub(super) fn running(&self, id: &str) -> RunningTask {
        RunningTask {
            id: id.to_owned(),
            run_key: self.run_key.clone(),
            task: self.task.clone(),
            index: self.index,
            attempt: self.attempt,
        }
    }
}

/// A request that ECS would refuse as well.
fn refused(cause: impl Into<String>) -> TaskFailure {
    TaskFailure { error: "ECS.InvalidParameterException".to_owned(), cause: cause.into() }
}

impl Request {
    pub(super) fn parse(request: &Json) -> Result<Self, TaskFailure> {
        let definition =
            request["TaskDefinition"].as_str().ok_or_else(|| refused("TaskDefinition is not a text"))?;
        let overrides = &request["Overrides"]["ContainerOverrides"][0];
        let environment = environment(&overrides["Environment"])?;
        let identity = identity(&environment)?;
        let timeout_seconds = number(&environment, "CAUCE_TIMEOUT_SECONDS")?;
        let stop_timeout_seconds = number(&environment, "CAUCE_STOP_TIMEOUT_SECONDS")?;
        let token = match &request["ClientToken"] {
            Json::String(token) if is_file_name(token) => token.clone(),
            // The token names files here: one that cannot is replaced by its hash.
            Json::String(token) => sha256_hex(token),
            _ => return Err(refused("ClientToken is not a text")),
        };
        Ok(Self {
            family: family(definition).to_owned(),
            token,
            command: command(&overrides["Command"])?,
            environment,
            identity,
            timeout_seconds,
            stop_timeout_seconds,
        })
    }
}

/// The family in `family`, `family:revision`, or the ARN of either.
pub(super) fn family(definition: &str) -> &str {
    let name = definition.rsplit('/').next().unwrap_or(definition);
    name.split(':').next().unwrap_or(name)
}

fn command(value: &Json) -> Result<Vec<String>, TaskFailure> {
    let words = match value {
        Json::Null => &[][..],
        Json::Array(words) => words,
        _ => return Err(refused("Command is not a list")),
    };
    words
        .iter()
        .map(|word| {
            word.as_str()
                .filter(|word| !word.contains('\0'))
                .map(str::to_owned)
                .ok_or_else(|| refused(format!("{word} in Command is not a text without NUL")))
        })
        .collect()
}

fn environment(value: &Json) -> Result<BTreeMap<String, String>, TaskFailure> {
    let pairs = match value {
        Json::Null => &[][..],
        Json::Array(pairs) => pairs,
        _ => return Err(refused("Environment is not a list")),
    };
    let mut environment = BTreeMap::new();
    for pair in pairs {
        let (Some(name), Some(value)) = (pair["Name"].as_str(), pair["Value"].as_str()) else {
            return Err(refused("Environment holds something without Name and Value"));
        };
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(refused(format!("'{}' cannot be a variable of an environment", name.escape_debug())));
        }
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(environment)
}

/// A number of the environment, if it is there.
fn number<T: std::str::FromStr>(
    environment: &BTreeMap<String, String>,
    name: &str,
) -> Result<Option<T>, TaskFailure> {
    let parse = |value: &String| {
        value.parse().map_err(|_| refused(format!("{name} is not a number that can be used: '{value}'")))
    };
    environment.get(name).filter(|value| !value.is_empty()).map(parse).transpose()
}

/// Which attempt an environment belongs to.
pub(super) fn identity(environment: &BTreeMap<String, String>) -> Result<Identity, TaskFailure> {
    let text = |name: &str| {
        environment.get(name).ok_or_else(|| refused(format!("{name} is not in the environment")))
    };
    let (pipeline, run_id, task) = (text("CAUCE_PIPELINE")?, text("CAUCE_RUN_ID")?, text("CAUCE_TASK")?);
    // They become names of folders.
    if !is_name(pipeline) || !is_name(task) || !is_file_name(run_id) {
        return Err(refused(format!(
            "'{pipeline}/{run_id}', task '{task}': not the names of a run and its task"
        )));
    }
    Ok(Identity {
        run: RunRef { pipeline: pipeline.clone(), run_id: run_id.clone() },
        run_key: RunKey::new(pipeline, run_id),
        task: task.clone(),
        index: number(environment, "CAUCE_INDEX")?,
        attempt: number(environment, "CAUCE_ATTEMPT")?
            .ok_or_else(|| refused("CAUCE_ATTEMPT is not in the environment"))?,
    })
}

/// Whether a text can name a file of ours everywhere: no separators, no hidden files.
fn is_file_name(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.starts_with('.')
        && !text.contains(['/', '\\'])
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> Json {
        json!({
            "TaskDefinition": "arn:aws:ecs:us-east-1:1:task-definition/ingesta:3",
            "ClientToken": "abc",
            "Overrides": {"ContainerOverrides": [{
                "Command": ["a", "b c"],
                "Environment": [
                    {"Name": "CAUCE_PIPELINE", "Value": "p"},
                    {"Name": "CAUCE_RUN_ID", "Value": "1997-01-05"},
                    {"Name": "CAUCE_TASK", "Value": "t"},
                    {"Name": "CAUCE_ATTEMPT", "Value": "2"},
                ]
            }]}
        })
    }

    #[test]
    fn a_request_is_read() {
        let read = Request::parse(&request()).unwrap();
        assert_eq!(read.family, "ingesta");
        assert_eq!(read.command, ["a", "b c"]);
        assert_eq!(read.identity.run.to_string(), "p/1997-01-05");
        assert_eq!((read.identity.index, read.identity.attempt), (None, 2));
        assert_eq!(family("plain"), "plain");
        assert_eq!(family("plain:7"), "plain");
    }

    #[test]
    fn what_ecs_would_refuse_is_refused() {
        let environment = "/Overrides/ContainerOverrides/0/Environment";
        for (pointer, value) in [
            ("/TaskDefinition", json!(1)),
            ("/ClientToken", json!(null)),
            ("/Overrides/ContainerOverrides/0/Command", json!([1])),
            ("/Overrides/ContainerOverrides/0/Command", json!(["a\0b"])),
            (environment, json!([])),
            (&format!("{environment}/0/Name"), json!("A=B")),
            (&format!("{environment}/0/Value"), json!("../up")),
            (&format!("{environment}/1/Value"), json!("../up")),
            (&format!("{environment}/3/Value"), json!("two")),
        ] {
            let mut wrong = request();
            *wrong.pointer_mut(pointer).unwrap() = value;
            let failure = Request::parse(&wrong).unwrap_err();
            assert_eq!(failure.error, "ECS.InvalidParameterException", "{pointer}");
        }
    }
}
