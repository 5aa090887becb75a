//! `cauce asl`: Amazon States Language alone, without pipelines.

use std::path::Path;
use std::sync::Arc;

use cauce_asl::{ExecutionType, Severity, ValidationResult};
use cauce_interpreter::mocks::Mocks;
use cauce_interpreter::{Context as ExecutionContext, Definition, Status, TestRequest, TestStatus};
use cauce_local::clock::SystemClock;
use cauce_model::Json;
use cauce_ports::Clock;
use serde_json::json;

use crate::args::{AslCheckArgs, AslRunArgs, AslTestStateArgs};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Tone, paint};

/// The name of the one execution.
const EXECUTION: &str = "run";

/// Random numbers of JSONata and of retries' jitter: the same at every run.
const SEED: u64 = 0;

pub(crate) fn check(args: &AslCheckArgs, context: &Context) -> Result<Exit, Failure> {
    let text = read(&args.definition, context)?;
    let report = Definition::check(&text, ExecutionType::Standard, Severity::Warning);
    if context.json {
        context.output.json(&report)?;
    } else {
        for found in &report.diagnostics {
            tell(found, &args.definition, context);
        }
        if report.result == ValidationResult::Ok {
            let word = paint("ok", Tone::Good, context.output.data_colour());
            context.output.line(&format!("{word}  {}", args.definition.display()))?;
        }
    }
    Ok(if report.result == ValidationResult::Ok { Exit::Good } else { Exit::BadInput })
}

pub(crate) fn run(args: &AslRunArgs, context: &Context) -> Result<Exit, Failure> {
    let text = read(&args.definition, context)?;
    let definition = Definition::parse(&text).map_err(|found| {
        for one in &found {
            tell(one, &args.definition, context);
        }
        Failure::told(Exit::BadInput)
    })?;
    let input = match &args.input {
        None => json!({}),
        Some(input) => json_or_file(input, "--input", context)?,
    };
    let mut mocks = match &args.mocks {
        None => Mocks::default(),
        Some(path) => {
            let value = parse(&read(path, context)?, &path.display().to_string())?;
            Mocks::parse(&value).map_err(|error| {
                Failure::bad_input(format!("{}: {error}", path.display()))
                    .help("write [{\"after_state\": ..., \"type\": \"TaskSucceeded\", \"output\": ...}]")
            })?
        }
    };
    let name = args.definition.file_stem().map(|stem| stem.to_string_lossy().replace('.', "-"));
    let names = ExecutionContext::named(&name.unwrap_or_default(), EXECUTION);
    let now = SystemClock.now().to_timestamp();
    let ran = mocks
        .run(Arc::new(definition), names, input, now, None, SEED)
        .map_err(|error| Failure::bad_input(error.to_string()))?;
    let ended = &ran.ended;
    if context.json {
        let history: Vec<Json> = ran.history.iter().map(cauce_interpreter::HistoryEvent::to_json).collect();
        context.output.json(&json!({
            "status": ended.status.name(),
            "output": ended.output.as_deref(),
            "error": ended.error,
            "cause": ended.cause,
            "history": history,
        }))?;
    } else {
        let tone = if ended.status == Status::Succeeded { Tone::Good } else { Tone::Bad };
        let status = paint(ended.status.name(), tone, context.output.talk_colour());
        let events = super::check::count(ran.history.len() as u64, "event");
        context.output.talk(&format!("{status} after {events}"));
        if let Some(error) = &ended.error {
            context.output.talk(&format!("error: {error}"));
        }
        if let Some(cause) = &ended.cause {
            context.output.talk(&format!("cause: {cause}"));
        }
        if let Some(output) = &ended.output {
            context.output.json(output.as_ref())?;
        }
    }
    Ok(if ended.status == Status::Succeeded { Exit::Good } else { Exit::RunFailed })
}

/// One state by itself. The answer is the API's, in its own shape, whatever the format of output.
pub(crate) fn test_state(args: &AslTestStateArgs, context: &Context) -> Result<Exit, Failure> {
    let request = json_or_file(&args.request, "the request", context)?;
    // A tested state believes to be in an express execution, as recorded on AWS.
    let names = ExecutionContext::named("test", "test");
    let names =
        ExecutionContext { execution_arn: names.execution_arn.replace(":execution:", ":express:"), ..names };
    let now = SystemClock.now().to_timestamp();
    let result = TestRequest::read(request)
        .and_then(|request| cauce_interpreter::test_state(&request, names, now, SEED))
        .map_err(|error| {
            Failure::bad_input(error.to_string()).help(
                "give {\"definition\": <a state>, \"input\": ..., \"mock\": {\"result\": \"<JSON text>\"}}",
            )
        })?;
    context.output.json(&result)?;
    Ok(match result.status {
        TestStatus::Succeeded | TestStatus::CaughtError => Exit::Good,
        TestStatus::Failed | TestStatus::Retriable => Exit::RunFailed,
    })
}

fn tell(found: &cauce_asl::Diagnostic, file: &Path, context: &Context) {
    let (word, tone) = match found.severity {
        Severity::Error => ("error", Tone::Bad),
        Severity::Warning => ("warning", Tone::Warn),
    };
    let word = paint(&format!("{word}[{}]", found.code), tone, context.output.talk_colour());
    let place = found.location.as_deref().filter(|place| *place != "/");
    let place = place.map(|place| format!(" {place}")).unwrap_or_default();
    context.output.talk(&format!("{word}: {}{place}: {}", file.display(), found.message));
}

/// JSON as it stands on the command line, or a file of it.
fn json_or_file(text: &str, what: &str, context: &Context) -> Result<Json, Failure> {
    let path = Path::new(text.strip_prefix('@').unwrap_or(text));
    if text.starts_with('@') || context.absolute(path).is_file() {
        return parse(&read(path, context)?, &path.display().to_string());
    }
    parse(text, what).map_err(|failure| failure.help("give JSON, or the path of a file that holds some"))
}

fn parse(text: &str, source: &str) -> Result<Json, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::bad_input(format!("{source} is not JSON: {error}")))
}

fn read(path: &Path, context: &Context) -> Result<String, Failure> {
    let path = context.absolute(path);
    std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Failure::bad_input(format!("{} is not UTF-8", path.display())),
        _ => Failure::file("read", &path, &error),
    })
}
