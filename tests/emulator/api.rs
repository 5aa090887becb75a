//! The emulated cloud's API, spoken without an SDK: what a test looks at does not pass through the
//! code that it tests.

use serde_json::{Value as Json, json};

/// Looks before something counts as never coming. Nothing comes near it: it turns a hang into a
/// failure.
const LOOKS_MAX: u32 = 500;

/// The longest that the launcher holds one `wait` back, in seconds, when nothing happens.
const WAIT_SECONDS: u32 = 1;

/// The account of the emulated cloud.
pub(crate) const ACCOUNT: &str = "000000000000";

/// Its region.
pub(crate) const REGION: &str = "us-east-1";

/// A client of one emulated cloud.
#[derive(Clone)]
pub(crate) struct Api {
    agent: ureq::Agent,
    endpoint: String,
}

impl Api {
    pub(crate) fn new(endpoint: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self { agent: config.into(), endpoint: endpoint.to_owned() }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Calls a service that speaks JSON: `target` is `AWSStepFunctions.StartExecution` and the like.
    pub(crate) fn try_call(&self, service: &str, target: &str, body: &Json) -> Result<Json, String> {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=0"
        );
        let mut answer = self
            .agent
            .post(&self.endpoint)
            .header("X-Amz-Target", target)
            .header("Content-Type", "application/x-amz-json-1.0")
            .header("Authorization", authorization)
            .header("X-Amz-Date", "20260101T000000Z")
            .send(body.to_string())
            .map_err(|error| format!("{target}: {error}"))?;
        let text = answer.body_mut().read_to_string().map_err(|error| format!("{target}: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("{target}: {} {text}", answer.status()));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Json::Null))
    }

    pub(crate) fn call(&self, service: &str, target: &str, body: &Json) -> Json {
        self.try_call(service, target, body).unwrap_or_else(|problem| panic!("{problem}"))
    }

    pub(crate) fn states(&self, operation: &str, body: &Json) -> Json {
        self.call("states", &format!("AWSStepFunctions.{operation}"), body)
    }

    /// Invokes a function and waits for what it answers.
    pub(crate) fn invoke(&self, function: &str, event: &Json) -> Json {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
        let mut answer =
            self.agent.post(&url).send(event.to_string()).unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = answer.body_mut().read_to_string().unwrap();
        let failed = answer.headers().contains_key("x-amz-function-error");
        assert!(answer.status().is_success() && !failed, "{function}: {} {text}", answer.status());
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// Sends a request to an address: GET, or POST where there is a body. Its status and document.
    pub(crate) fn request(&self, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> (u16, Json) {
        let answer = match body {
            None => {
                let request = self.agent.get(url);
                headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call()
            }
            Some(body) => {
                let request = self.agent.post(url);
                headers
                    .iter()
                    .fold(request, |request, (name, value)| request.header(*name, *value))
                    .send(body)
            }
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::String(text)))
    }

    pub(crate) fn put_object(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let url = format!("{}/{bucket}/{}", self.endpoint, encoded(key));
        let answer = self.agent.put(&url).send(bytes).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
    }

    /// The keys below a prefix.
    pub(crate) fn list_objects(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let url = format!("{}/{bucket}?list-type=2&max-keys=1000&prefix={}", self.endpoint, encoded(prefix));
        let mut answer = self.agent.get(&url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = answer.body_mut().read_to_string().unwrap();
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }

    /// The launcher's own control endpoint: a question.
    pub(crate) fn ask(&self, path: &str) -> (u16, Json) {
        let url = format!("{}/_cauce/{path}", self.endpoint);
        let mut answer = self.agent.get(&url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = answer.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::Null))
    }

    /// The launcher's own control endpoint: a request.
    pub(crate) fn tell(&self, path: &str, body: &Json) -> Json {
        let url = format!("{}/_cauce/{path}", self.endpoint);
        let sent = self.agent.post(&url).header("Content-Type", "application/json").send(body.to_string());
        let mut answer = sent.unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{url}: {} {text}", answer.status());
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// Arms faults; `infra/emulator/README.md` has their forms.
    pub(crate) fn faults(&self, faults: Json) {
        self.tell("faults", &json!({"faults": faults}));
    }

    /// Disarms what has not happened, and says how much has since the cloud was started.
    pub(crate) fn faults_performed(&self) -> usize {
        let url = format!("{}/_cauce/faults", self.endpoint);
        let (_, answer) = self.ask("faults");
        self.agent.delete(&url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        answer["performed"].as_array().map_or(0, Vec::len)
    }
}

/// Looks until there is something to see.
///
/// The emulated cloud works by itself; its launcher answers `wait` once another call has reached it,
/// so that every look sees something new. How long that takes is asserted nowhere.
pub(crate) fn until<T>(api: &Api, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut calls = 0;
    for _ in 0..LOOKS_MAX {
        if let Some(seen) = look() {
            return seen;
        }
        let (_, answer) = api.ask(&format!("change?after={calls}&seconds={WAIT_SECONDS}"));
        calls = answer["calls"].as_u64().unwrap_or(0);
    }
    panic!("there was no {what} after {LOOKS_MAX} looks")
}

/// A key in a URL's path.
fn encoded(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(byte as char)
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
