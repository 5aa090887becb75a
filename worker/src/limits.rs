//! `cauce-run limits take NAME [--tokens N] [--timeout SECONDS]`: tokens of a rate limit, for a call inside a task.
//!
//! Who decides is not this program: on AWS the function that `CAUCE_TAKE_TOKENS` names, called with the credentials
//! of the task's role; on one machine `cauce`, on the state folder that `CAUCE_LOCAL_STATE` names. The wait is here:
//! the answer says when the tokens may be used.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector};
use serde_json::{Value, json};
use tokio::process::Command;

/// The tokens are not taken: their turn comes later than the program waits.
const TOO_LATE: u8 = 1;
/// What was asked cannot be done: the arguments, an unknown limit.
const BAD_INPUT: u8 = 2;
/// Nobody could be asked.
const SYSTEM: u8 = 3;

/// How often the function is asked before it counts as out of reach. A repeat costs the limit a place at most.
const TRIES: u32 = 4;

const USAGE: &str = "usage: cauce-run limits take NAME [--tokens N] [--timeout SECONDS]";

/// What is asked for.
struct Take {
    limit: String,
    tokens: u32,
    timeout: Option<u64>,
}

/// Why nothing was taken: the exit code, and the words.
type Refusal = (u8, String);

/// Whether the arguments are this command's, and not a program's.
pub(crate) fn is_meant(arguments: &[OsString]) -> bool {
    matches!(arguments, [first, second, ..] if first == "limits" && second == "take")
}

/// Takes tokens and waits until they may be used. Returns the exit code, and what there is to say.
pub(crate) async fn take(
    arguments: &[OsString],
    variables: &BTreeMap<OsString, OsString>,
) -> (u8, Option<String>) {
    let outcome = async {
        let take = read(&arguments[2..]).map_err(|problem| (BAD_INPUT, format!("{problem}; {USAGE}")))?;
        let variable = |name: &str| {
            let value = variables.get(OsStr::new(name)).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned())
        };
        match (variable("CAUCE_TAKE_TOKENS"), variable("CAUCE_LOCAL_STATE")) {
            (Some(function), _) => there(&take, &function, variable).await,
            (None, Some(state)) => here(&take, &state).await,
            (None, None) => {
                let nowhere =
                    "this is no task of cauce: neither CAUCE_TAKE_TOKENS nor CAUCE_LOCAL_STATE is set";
                Err((SYSTEM, nowhere.to_owned()))
            }
        }
    };
    match outcome.await {
        Ok(code) => (code, None),
        Err((code, problem)) => (code, Some(problem)),
    }
}

fn read(arguments: &[OsString]) -> Result<Take, String> {
    let texts: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let mut texts = texts.ok_or("the arguments are not UTF-8")?.into_iter();
    let (mut limit, mut tokens, mut timeout) = (None, 1, None);
    while let Some(text) = texts.next() {
        let mut number = |what: &str| {
            let value = texts.next().ok_or(format!("{text} takes {what}"))?;
            value.parse::<u64>().map_err(|_| format!("{text} takes {what}, not '{value}'"))
        };
        match text {
            "--tokens" => {
                let what = "a number from 1 to 1000000";
                let count = number(what)?;
                let valid = u32::try_from(count).ok().filter(|count| (1..=1_000_000).contains(count));
                tokens = valid.ok_or_else(|| format!("--tokens takes {what}, not '{count}'"))?;
            }
            "--timeout" => timeout = Some(number("a number of seconds")?),
            option if option.starts_with('-') => return Err(format!("'{option}' is not known")),
            name if limit.is_none() => limit = Some(name.to_owned()),
            other => return Err(format!("'{other}' is one name too many")),
        }
    }
    let limit = limit.ok_or("no limit is named")?;
    Ok(Take { limit, tokens, timeout })
}

/// Has the program `cauce` take them, which waits by itself. It lies beside this one, or where programs do.
async fn here(take: &Take, state: &str) -> Result<u8, Refusal> {
    let sibling = std::env::current_exe().ok().map(|own| own.with_file_name("cauce"));
    let program = sibling.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("cauce"));
    let mut command = Command::new(&program);
    command.args(["--state-dir", state, "limits", "take", &take.limit, "--tokens", &take.tokens.to_string()]);
    if let Some(timeout) = take.timeout {
        command.args(["--timeout", &timeout.to_string()]);
    }
    let status = command.status().await;
    let status = status.map_err(|error| (SYSTEM, format!("cannot start {}: {error}", program.display())))?;
    // Death by a signal is no answer.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(SYSTEM))
}

/// Asks the function.
async fn there(
    take: &Take,
    function: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<u8, Refusal> {
    let system = |problem: String| (SYSTEM, format!("cannot ask {function}: {problem}"));
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = region.ok_or_else(|| system("AWS_REGION is not set".to_owned()))?;
    let endpoint = variable("AWS_ENDPOINT_URL_LAMBDA").or_else(|| variable("AWS_ENDPOINT_URL"));
    let endpoint = endpoint.unwrap_or_else(|| {
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://lambda.{region}.amazonaws.com{china}")
    });
    // https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
    let url = format!("{}/2015-03-31/functions/{function}/invocations", endpoint.trim_end_matches('/'));
    let asked = json!({"limit": take.limit, "tokens": take.tokens, "within_seconds": take.timeout});
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true));
    let client = client.map_err(|error| system(error.to_string()))?;
    let mut left = TRIES;
    let told = loop {
        left -= 1;
        match ask(&client, &url, &region, asked.to_string()).await {
            Ok(told) => break told,
            Err(Trouble { passes: true, .. }) if left > 0 => rest(Duration::from_secs(1)).await,
            Err(trouble) => return Err(system(trouble.words)),
        }
    };
    if let Some(name) = told.get("errorType").and_then(Value::as_str) {
        let words = told.get("errorMessage").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_ours = matches!(name, "Cauce.Denied" | "Cauce.Undeclared" | "Cauce.BadEvent");
        return Err(if is_ours { (BAD_INPUT, words) } else { system(format!("{name}: {words}")) });
    }
    let start = told.get("start_at").and_then(Value::as_str).unwrap_or_default();
    match (told.get("taken").and_then(Value::as_bool), told.get("wait_micros").and_then(Value::as_u64)) {
        (Some(true), Some(micros)) => {
            rest(Duration::from_micros(micros)).await;
            Ok(0)
        }
        (Some(false), _) => Err((
            TOO_LATE,
            format!("nothing is taken: the limit '{}' has its next start at {start}", take.limit),
        )),
        _ => Err(system(format!("it answered {told}"))),
    }
}

/// Why there is no answer, and whether there may be one soon.
struct Trouble {
    words: String,
    passes: bool,
}

/// Calls the function once, signed with the credentials of the task.
async fn ask(client: &HttpClient, url: &str, region: &str, body: String) -> Result<Value, Trouble> {
    let wrong = |words: String| Trouble { words, passes: false };
    // The credentials of whatever this runs as are found as for S3; no bucket is touched.
    let store = AmazonS3Builder::from_env().with_bucket_name("none").with_allow_http(true).build();
    let store = store.map_err(|error| wrong(error.to_string()))?;
    let credential = store.credentials().get_credential().await;
    let credential = credential.map_err(|error| Trouble { words: error.to_string(), passes: true })?;
    let mut request = HttpRequest::new(body.into());
    *request.method_mut() = "POST".parse().map_err(|_| wrong("no method".to_owned()))?;
    *request.uri_mut() = url.parse().map_err(|_| wrong(format!("'{url}' is no address")))?;
    AwsAuthorizer::new(&credential, "lambda", region).authorize(&mut request, None);
    let answer = client.execute(request).await;
    let answer = answer.map_err(|error| Trouble { words: error.to_string(), passes: true })?;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().bytes().await;
    let bytes = bytes.map_err(|error| Trouble { words: error.to_string(), passes: true })?;
    if !(200..300).contains(&status) {
        let text = String::from_utf8_lossy(&bytes).chars().take(500).collect::<String>();
        return Err(Trouble {
            words: format!("status {status}: {text}"),
            passes: status == 429 || status >= 500,
        });
    }
    serde_json::from_slice(&bytes).map_err(|error| wrong(format!("its answer is no JSON: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "its turn comes at a time, and nobody tells of it")]
async fn rest(time: Duration) {
    tokio::time::sleep(time).await;
}
