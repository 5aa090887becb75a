//! An emulator as a child of the test, and what the ports need in it.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use cauce_aws::table::{DynamoTable, INDEX};
use cauce_aws::{Connect, Connection};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often a server is asked whether it answers, each time for at most `PATIENCE`.
const ASKED_MAX: u32 = 600;

/// How long one question waits for its answer.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which emulator. Ministack is started as `infra/emulator` starts it, with what that mends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ministack,
    Moto,
}

impl Kind {
    const fn variable(self) -> &'static str {
        match self {
            Self::Ministack => "CAUCE_MINISTACK",
            Self::Moto => "CAUCE_MOTO",
        }
    }

    const fn installed(self) -> &'static str {
        match self {
            Self::Ministack => "cauce/venv/ministack/bin/ministack",
            Self::Moto => "cauce/venv/moto/bin/moto_server",
        }
    }
}

/// A running emulator; it ends with this value.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "where the emulators are is told in the environment")]
fn program(kind: Kind) -> Option<PathBuf> {
    let named = std::env::var_os(kind.variable()).map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    named.or_else(|| Some(cache?.join(kind.installed()))).filter(|path| path.is_file())
}

/// Starts an emulator; `None`, said on standard error, where there is none.
pub(crate) fn start(kind: Kind) -> Option<Server> {
    let Some(program) = program(kind) else {
        eprintln!("skipped: needs {}", format!("{kind:?}").to_lowercase());
        return None;
    };
    Some(match kind {
        Kind::Ministack => start_ministack(&program.with_file_name("python")),
        Kind::Moto => start_moto(&program),
    })
}

fn start_ministack(python: &Path) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images.json");
    std::fs::write(&images, r#"{"sleeper": ["sleep"]}"#).unwrap();
    let launcher = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/emulator/launch.py");
    let mut child = Command::new(python)
        .args([launcher, "--port", "0", "--until-stdin-closes", "--folder"])
        .arg(folder.path())
        .arg("--images")
        .arg(images)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
    Server { child, port, _folder: Some(folder) }
}

fn start_moto(program: &Path) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut server = Server { child, port, _folder: None };
    for _ in 0..ASKED_MAX {
        if answers(port) {
            return server;
        }
        assert!(server.child.try_wait().unwrap().is_none(), "moto ended before it answered");
        // A closed port refuses at once: a question to nobody waits out the patience instead.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut waiting = TcpStream::connect(nobody.local_addr().unwrap()).unwrap();
        waiting.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(waiting.read(&mut [0]).is_err());
    }
    panic!("moto does not answer");
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    stream.set_read_timeout(Some(PATIENCE * 20)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").is_ok()
        && matches!(stream.read(&mut [0; 16]), Ok(read) if read > 0)
}

impl Server {
    /// Has the next so many calls of an operation fail with this error, on ministack.
    pub(crate) fn fail(&self, operation: &str, times: u32, error: &str, status: u16) {
        let fault = json!({"kind": "call", "effect": "fail", "operation": operation, "times": times,
                           "error": error, "status": status, "message": "asked for"});
        self.http("POST", "/_cauce/faults", &json!({"faults": [fault]}).to_string());
    }

    /// What an address of the emulator's own tells.
    pub(crate) fn get(&self, path: &str) -> String {
        self.http("GET", path, "")
    }

    fn http(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let head = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// The configuration of a client of this emulator, for what tests set up.
    pub(crate) async fn sdk(&self) -> aws_config::SdkConfig {
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(aws_config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(self.endpoint())
            .load()
            .await
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the ports are made from.
    pub(crate) async fn connection(&self) -> Connection {
        let connect = Connect {
            region: Some("us-east-1".to_owned()),
            profile: None,
            endpoint: Some(self.endpoint()),
            keys: Some(("test".to_owned(), "test".to_owned())),
        };
        Connection::open(connect).await.unwrap()
    }

    /// A table as Terraform makes it.
    pub(crate) async fn table(&self, name: &str) -> DynamoTable {
        let text = |name: &str| {
            let definition = AttributeDefinition::builder().attribute_name(name);
            definition.attribute_type(ScalarAttributeType::S).build().unwrap()
        };
        let key = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
        };
        let index = GlobalSecondaryIndex::builder()
            .index_name(INDEX)
            .key_schema(key("lk", KeyType::Hash))
            .key_schema(key("lp", KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .unwrap();
        aws_sdk_dynamodb::Client::new(&self.sdk().await)
            .create_table()
            .table_name(name)
            .set_attribute_definitions(Some(["pk", "sk", "lk", "lp"].map(text).to_vec()))
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .global_secondary_indexes(index)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        DynamoTable::new(&self.connection().await, name)
    }
}

fn credentials() -> aws_sdk_dynamodb::config::Credentials {
    aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test")
}
