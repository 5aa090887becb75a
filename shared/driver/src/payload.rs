//! What the states of our machines send to our functions, as commands. The compiler writes these
//! payloads; both sides are held together by every run of every test.

use cauce_engine::Command;
use cauce_engine::command::{Ask, Begin, Close, Deploy, Event, Finish, Open, Outcome};
use cauce_model::control::TOKENS_MAX;
use cauce_model::event::Object;
use cauce_model::record::CANARY_PERCENT_MAX;
use cauce_model::{Deployment, Instant, Json, RunKey};
use serde_json::json;

/// The functions that states call, with the placeholder of each in a definition.
pub const FUNCTIONS: [(&str, &str); 5] = [
    ("${open_run}", "open-run"),
    ("${begin_task}", "begin-task"),
    ("${expand_map}", "expand-map"),
    ("${finish_task}", "finish-task"),
    ("${close_run}", "close-run"),
];

/// A payload that is not one of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PayloadError {
    /// No function of that name.
    #[error("there is no function '{0}'")]
    NoFunction(String),
    /// A field that is missing or of another type.
    #[error("the payload of {function} has no usable '{field}'")]
    Field {
        /// The function.
        function: String,
        /// The field.
        field: &'static str,
    },
    /// A field that is there but is not what it should be.
    #[error("the payload of {function} has a '{field}' that cannot be read: {reason}")]
    Unreadable {
        /// The function.
        function: String,
        /// The field.
        field: &'static str,
        /// Why.
        reason: String,
    },
}

/// Reads the payload of a function's call.
///
/// # Errors
/// A function that does not exist, a field that is missing.
pub fn command(function: &str, payload: &Json) -> Result<Command, PayloadError> {
    let reader = Reader { function, payload };
    match function {
        "open-run" => Ok(Command::Open(Open {
            pipeline: reader.text("pipeline")?,
            version: reader.text("version")?,
            execution: reader.text("execution")?,
            input: payload.get("input").cloned().unwrap_or(Json::Null),
            token: reader.text("token")?,
        })),
        // With a fence: an attempt that has begun, and waits.
        "begin-task" if payload.get("fence").is_some() => Ok(Command::Ask(Ask {
            run_key: RunKey::from_text(reader.text("run_key")?),
            generation: reader.number("generation")?,
            task: reader.text("task")?,
            fence: reader.number("fence")?.into(),
            token: reader.text("token")?,
            token_order: reader.token_order()?,
        })),
        "begin-task" | "expand-map" => Ok(Command::Begin(Begin {
            run_key: RunKey::from_text(reader.text("run_key")?),
            generation: reader.number("generation")?,
            task: reader.text("task")?,
            index: reader.index()?,
            token: reader.text("token")?,
            token_order: reader.token_order()?,
        })),
        "take-tokens" => Ok(Command::Take {
            limit: reader.text("limit")?,
            tokens: reader.tokens()?,
            within_seconds: match payload.get("within_seconds") {
                None | Some(Json::Null) => None,
                Some(_) => Some(reader.number("within_seconds")?.into()),
            },
        }),
        "finish-task" => Ok(Command::Finish(Finish {
            run_key: RunKey::from_text(reader.text("run_key")?),
            generation: reader.number("generation")?,
            task: reader.text("task")?,
            index: reader.index()?,
            fence: payload.get("fence").and_then(Json::as_u64).unwrap_or(0),
            outcome: reader.outcome()?,
        })),
        "close-run" => Ok(Command::Close(Close {
            run_key: RunKey::from_text(reader.text("run_key")?),
            generation: reader.number("generation")?,
            redrives: if payload.get("redrives").is_some() { reader.number("redrives")? } else { 0 },
        })),
        other => Err(PayloadError::NoFunction(other.to_owned())),
    }
}

/// Reads what Terraform sends when it has deployed a pipeline version, changed or destroyed it:
/// `{"source": "cauce.deployment", "detail": {"plan", "deployment",
/// "canary"?: <percent>, "new_pipelines"?: "active"|"paused", "by"?}, "tf": {"action"}}`.
///
/// # Errors
/// A field that is missing; a deployment that is not one.
pub fn deployment(payload: &Json) -> Result<Command, PayloadError> {
    let function = "record-event";
    let none = Json::Null;
    let detail = payload.get("detail").unwrap_or(&none);
    let reader = Reader { function, payload: detail };
    let given = detail.get("deployment").cloned().ok_or_else(|| reader.missing("deployment"))?;
    let deployment: Deployment = serde_json::from_value(given).map_err(|error| PayloadError::Unreadable {
        function: function.to_owned(),
        field: "deployment",
        reason: error.to_string(),
    })?;
    let by = Some(reader.text("by").unwrap_or_else(|_| "terraform".to_owned()));
    if payload.pointer("/tf/action").and_then(Json::as_str) == Some("delete") {
        return Ok(Command::Undeploy { deployment: Box::new(deployment), by });
    }
    let canary = match detail.get("canary") {
        None | Some(Json::Null) => None,
        Some(given) => {
            let percent = given.as_u64().and_then(|percent| u8::try_from(percent).ok());
            let unreadable = || PayloadError::Unreadable {
                function: function.to_owned(),
                field: "canary",
                reason: format!("{given} is no whole number from 0 to {CANARY_PERCENT_MAX}"),
            };
            Some(percent.filter(|percent| *percent <= CANARY_PERCENT_MAX).ok_or_else(unreadable)?)
        }
    };
    let new_paused = match detail.get("new_pipelines").map(|given| given.as_str().unwrap_or_default()) {
        None | Some("active") => false,
        Some("paused") => true,
        Some(other) => {
            return Err(PayloadError::Unreadable {
                function: function.to_owned(),
                field: "new_pipelines",
                reason: format!("'{other}' is neither active nor paused"),
            });
        }
    };
    let plan = reader.text("plan")?;
    Ok(Command::Deploy(Box::new(Deploy { plan, deployment, canary, new_paused, by })))
}

/// Reads what Terraform sends when the project's pools have changed: `{"source": "cauce.pools",
/// "detail": {"pools": {"<name>": <slots>}}}`.
///
/// # Errors
/// Pools that are no whole numbers by name.
pub fn pools(payload: &Json) -> Result<Command, PayloadError> {
    let given = payload.pointer("/detail/pools").cloned().unwrap_or_default();
    let pools = serde_json::from_value(given).map_err(|error| PayloadError::Unreadable {
        function: "record-event".to_owned(),
        field: "pools",
        reason: error.to_string(),
    })?;
    Ok(Command::Resize { pools })
}

/// Reads what Terraform sends when the project's breakers and rate limits have changed: `{"source":
/// "cauce.controls", "detail": {"breakers": {"<name>": {"threshold", "window", "reset_after"}},
/// "rate_limits": {"<name>": {"tokens", "per", "burst"}}}}`, times in seconds.
///
/// # Errors
/// Figures that are missing or no whole numbers.
pub fn controls(payload: &Json) -> Result<Command, PayloadError> {
    let given = payload.get("detail").cloned().unwrap_or_default();
    let controls = serde_json::from_value(given).map_err(|error| PayloadError::Unreadable {
        function: "record-event".to_owned(),
        field: "detail",
        reason: error.to_string(),
    })?;
    Ok(Command::Define(Box::new(controls)))
}

/// Reads an event that may start runs, as trigger-run receives it: a tick of EventBridge Scheduler
/// (`{"source": "cauce.schedule", "detail": {"pipeline", "schedule", "scheduled_at"}}`), S3's own event, or what
/// [`posted`] makes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>
///
/// # Errors
/// Another source; a field that is missing.
pub fn event(payload: &Json) -> Result<Command, PayloadError> {
    let none = Json::Null;
    let function = "trigger-run";
    let detail = payload.get("detail").unwrap_or(&none);
    let whole = Reader { function, payload };
    let reader = Reader { function, payload: detail };
    let event = match whole.text("source")?.as_str() {
        "cauce.schedule" => Event::Tick {
            pipeline: reader.text("pipeline")?,
            schedule: reader.text("schedule")?,
            scheduled_at: reader.moment("scheduled_at")?,
        },
        "cauce.dataset" => Event::Dataset { dataset: reader.text("dataset")? },
        "cauce.consumer" => Event::Consumer { pipeline: reader.text("pipeline")? },
        "aws.s3" => {
            let bucket = Reader { function, payload: detail.get("bucket").unwrap_or(&none) };
            let object = Reader { function, payload: detail.get("object").unwrap_or(&none) };
            Event::Object(Object {
                bucket: bucket.text("name")?,
                // Raw, not encoded: EventBridge sends the key as it is.
                key: object.text("key")?,
                version_id: object.text("version-id").ok().filter(|version| !version.is_empty()),
                etag: object.text("etag").ok(),
                sequencer: object.text("sequencer").ok(),
                size: object.payload.get("size").and_then(Json::as_u64).unwrap_or(0),
                at: whole.moment("time")?,
            })
        }
        other => return Err(PayloadError::NoFunction(format!("{function} for {other}"))),
    };
    Ok(Command::Event(Box::new(event)))
}

/// An event that a decision posts, as trigger-run receives it. Ticks and objects come from elsewhere.
pub fn posted(event: &Event) -> Option<Json> {
    match event {
        Event::Dataset { dataset } => {
            Some(json!({"source": "cauce.dataset", "detail": {"dataset": dataset}}))
        }
        Event::Consumer { pipeline } => {
            Some(json!({"source": "cauce.consumer", "detail": {"pipeline": pipeline}}))
        }
        Event::Tick { .. } | Event::Object(_) | Event::Webhook(_) => None,
    }
}

struct Reader<'a> {
    function: &'a str,
    payload: &'a Json,
}

impl Reader<'_> {
    fn missing(&self, field: &'static str) -> PayloadError {
        PayloadError::Field { function: self.function.to_owned(), field }
    }

    fn text(&self, field: &'static str) -> Result<String, PayloadError> {
        let text = self.payload.get(field).and_then(Json::as_str);
        text.map(str::to_owned).ok_or_else(|| self.missing(field))
    }

    fn moment(&self, field: &'static str) -> Result<Instant, PayloadError> {
        Instant::parse(&self.text(field)?).map_err(|error| PayloadError::Unreadable {
            function: self.function.to_owned(),
            field,
            reason: error.to_string(),
        })
    }

    fn number(&self, field: &'static str) -> Result<u32, PayloadError> {
        // JSONata's numbers may come as 3.0.
        let number = self.payload.get(field).and_then(Json::as_f64);
        number
            .filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n))
            .map(|n| n as u32)
            .ok_or_else(|| self.missing(field))
    }

    /// How many tokens of a limit are asked for at once.
    fn tokens(&self) -> Result<u32, PayloadError> {
        let tokens = self.number("tokens")?;
        if (1..=TOKENS_MAX).contains(&tokens) { Ok(tokens) } else { Err(self.missing("tokens")) }
    }

    /// Entered times are ISO texts of one width: they sort, and retries sort after them.
    fn token_order(&self) -> Result<String, PayloadError> {
        Ok(format!("{}#{:06}", self.text("entered_at")?, self.number("retry_count")?))
    }

    fn index(&self) -> Result<Option<u32>, PayloadError> {
        match self.payload.get("index") {
            None | Some(Json::Null) => Ok(None),
            Some(_) => self.number("index").map(Some),
        }
    }

    fn outcome(&self) -> Result<Outcome, PayloadError> {
        if self.payload.get("join").and_then(Json::as_bool) == Some(true) {
            return Ok(Outcome::Joined);
        }
        if let Some(result) = self.payload.get("result") {
            return Ok(Outcome::Succeeded(result.clone()));
        }
        let error = self.text("error")?;
        let cause = self.payload.get("cause").and_then(Json::as_str).unwrap_or_default().to_owned();
        Ok(Outcome::Failed { error, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_read_again() {
        let (dataset, pipeline) = ("s3://lake/gold".to_owned(), "sales".to_owned());
        for posted in [Event::Dataset { dataset }, Event::Consumer { pipeline }] {
            let read = event(&super::posted(&posted).unwrap()).unwrap();
            assert_eq!(read, Command::Event(Box::new(posted)));
        }
    }

    #[test]
    fn a_begin_is_read_with_and_without_its_index_and_a_wait_by_its_fence() {
        let payload = |index: Json| {
            json!({"run_key": "k", "generation": 2, "version": "v", "task": "load", "index": index, "token": "t",
                   "entered_at": "1997-01-05T02:00:00.000Z", "retry_count": 0})
        };
        for (given, wanted) in [(Json::Null, None), (json!(3), Some(3)), (json!(3.0), Some(3))] {
            let Ok(Command::Begin(begin)) = command("begin-task", &payload(given)) else {
                panic!("not read")
            };
            assert_eq!(begin.index, wanted);
            assert_eq!(begin.token_order, "1997-01-05T02:00:00.000Z#000000");
        }
        // An attempt that has begun and waits has its fence with it.
        let mut asked = payload(Json::Null);
        asked["fence"] = json!(4.0);
        assert!(matches!(command("begin-task", &asked), Ok(Command::Ask(ask)) if ask.fence == 4));
        assert!(command("begin-task", &payload(json!("x"))).is_err());
        assert!(command("begin-task", &json!({})).is_err());
        assert!(command("other", &json!({})).is_err());
    }

    #[test]
    fn a_deployment_says_what_share_is_a_canary_and_whether_new_pipelines_wait_or_is_refused() {
        let told = |field: &str, given: Json| {
            let of = json!({"schema": 1, "environment": "dev", "pipeline": "sales", "version": "v", "machine": "m"});
            let mut payload =
                json!({"detail": {"plan": "s3://b/plan.json", "deployment": of}, "tf": {"action": "create"}});
            payload["detail"][field] = given;
            super::deployment(&payload)
        };
        let deploy = |field: &str, given: Json| match told(field, given) {
            Ok(Command::Deploy(deploy)) => (deploy.canary, deploy.new_paused),
            other => panic!("{other:?}"),
        };
        assert_eq!(deploy("canary", Json::Null), (None, false));
        assert_eq!(deploy("canary", json!(0)), (Some(0), false));
        assert_eq!(deploy("canary", json!(CANARY_PERCENT_MAX)), (Some(CANARY_PERCENT_MAX), false));
        assert_eq!(deploy("new_pipelines", json!("paused")), (None, true));
        assert_eq!(deploy("new_pipelines", json!("active")), (None, false));
        for given in
            [json!(-1), json!(CANARY_PERCENT_MAX + 1), json!(300), json!(2.5), json!("10"), json!(true)]
        {
            let told = told("canary", given.clone());
            assert!(
                matches!(told, Err(PayloadError::Unreadable { field: "canary", .. })),
                "{given}: {told:?}"
            );
        }
        for given in [json!("Paused"), json!(""), json!(true), Json::Null] {
            let told = told("new_pipelines", given.clone());
            assert!(
                matches!(told, Err(PayloadError::Unreadable { field: "new_pipelines", .. })),
                "{given}: {told:?}"
            );
        }
    }
}
