//! Real programs under the task contract.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use cauce_local::clock::SystemClock;
use cauce_local::objects::FolderObjects;
use cauce_local::processes::{Aws, Processes, Setup, Source, TaskDefinition};
use cauce_local::s3::Endpoint;
use cauce_local::secrets::Secrets;
use cauce_local::state::StateDir;
use cauce_model::{Json, RunKey};
use cauce_ports::{Compute, Objects, TaskFailure, TaskRunner};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Programs = Processes<FolderObjects, SystemClock>;

/// A project with a state folder and programs that run in it.
struct Project {
    folder: tempfile::TempDir,
    state: StateDir,
    objects: FolderObjects,
    programs: Programs,
}

const LOG_BYTES_MAX: u64 = 64 * 1024;

fn setup(root: &Path, state: &StateDir) -> Setup {
    Setup {
        project: root.to_owned(),
        state: state.clone(),
        programs: Some(root.join("bin")),
        environment: [("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere"), ("LANG", "C"), ("TZ", "UTC")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        aws: Aws::Local(Arc::new(Endpoint::new(state.objects()))),
        secrets: Secrets::parse("erp/password=correct horse battery\nkey=\"line-one-1\\nline-two-2\"")
            .unwrap(),
        log_bytes_max: LOG_BYTES_MAX,
        engine_args: vec!["--ulimit=nofile=1024".to_owned()],
    }
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let state = StateDir::open(root.join(".cauce")).unwrap();
        let objects = FolderObjects::durable(state.objects(), &root);
        std::fs::create_dir(root.join("bin")).unwrap();
        let programs = Processes::new(setup(&root, &state), objects.clone(), SystemClock);
        let project = Self { folder, state, objects, programs };
        project.register(&[], 30);
        project
    }

    fn register(&self, secrets: &[(&str, &str)], stop_timeout_seconds: u32) {
        self.programs.register("sh", definition(secrets, stop_timeout_seconds));
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn log(&self, attempt: u32) -> Vec<u8> {
        std::fs::read(self.state.logs().join(format!("p/r/t/{attempt}.log"))).unwrap()
    }

    fn log_text(&self, attempt: u32) -> String {
        String::from_utf8(self.log(attempt)).unwrap()
    }

    /// Runs a shell script as the first attempt.
    async fn sh(&self, script: &str) -> Result<Json, TaskFailure> {
        self.programs.run(&request(&["sh", "-c", script], 1)).await
    }

    fn nothing_is_left(&self) {
        let left: Vec<_> =
            self.state.running().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn definition(secrets: &[(&str, &str)], stop_timeout_seconds: u32) -> TaskDefinition {
    TaskDefinition {
        source: Source::Process { argv_prefix: Vec::new() },
        secrets: secrets.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect(),
        stop_timeout_seconds,
    }
}

fn request(command: &[&str], attempt: u32) -> Json {
    request_with(command, attempt, &[])
}

fn request_with(command: &[&str], attempt: u32, more: &[(&str, &str)]) -> Json {
    let attempt_text = attempt.to_string();
    let environment: Vec<Json> = [
        ("CAUCE_PIPELINE", "p"),
        ("CAUCE_RUN_ID", "r"),
        ("CAUCE_TASK", "t"),
        ("CAUCE_ATTEMPT", attempt_text.as_str()),
        ("CAUCE_OUTPUT_URI", "s3://lake/out.json"),
    ]
    .iter()
    .chain(more)
    .map(|(name, value)| json!({"Name": name, "Value": value}))
    .collect();
    json!({
        "TaskDefinition": "sh",
        "ClientToken": format!("token-{attempt}"),
        "Overrides": {"ContainerOverrides": [{
            "Name": "task", "Command": command, "Environment": environment,
        }]},
    })
}

/// The stopped task in a failure.
fn stopped(outcome: Result<Json, TaskFailure>) -> Json {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.error, "States.TaskFailed", "{}", failure.cause);
    serde_json::from_str(&failure.cause).unwrap()
}

fn exit_code(task: &Json) -> Option<i64> {
    task["Containers"][0]["ExitCode"].as_i64()
}

/// Whether a process has ended; a zombie has.
fn is_gone(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit_once(')').unwrap().1.trim().starts_with('Z'),
        Err(_) => true,
    }
}

/// Opens a named pipe for reading: returns once somebody writes to it, with what was written.
async fn read_fifo(path: PathBuf) -> String {
    tokio::task::spawn_blocking(move || std::fs::read_to_string(path).unwrap()).await.unwrap()
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn a_program_that_ends_well_is_a_stopped_task() {
    let project = Project::new();
    let task = project.sh("echo out; echo err >&2; pwd").await.unwrap();
    assert_eq!(exit_code(&task), Some(0));
    assert_eq!(task["StopCode"], "EssentialContainerExited");
    assert_eq!(task["LastStatus"], "STOPPED");
    assert!(task["StoppedAt"].as_i64() >= task["StartedAt"].as_i64());
    assert_eq!(project.log_text(1), format!("out\nerr\n{}\n", project.root().display()));
    project.nothing_is_left();
}

#[tokio::test]
async fn the_environment_is_what_was_declared_and_no_more() {
    let project = Project::new();
    project.register(&[("DB_PASSWORD", "secret:erp/password")], 30);
    let command = ["/usr/bin/env"];
    project.programs.run(&request_with(&command, 1, &[("MODE", "a b=c")])).await.unwrap();
    let log = project.log_text(1);
    let found: BTreeMap<&str, &str> = log.lines().filter_map(|line| line.split_once('=')).collect();
    let names: Vec<&str> = found.keys().copied().collect();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_ALLOW_HTTP",
            "AWS_DEFAULT_REGION",
            "AWS_EC2_METADATA_DISABLED",
            "AWS_ENDPOINT_URL",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "CAUCE_ATTEMPT",
            "CAUCE_LOCAL_STATE",
            "CAUCE_LOCAL_TOKEN",
            "CAUCE_OUTPUT_FILE",
            "CAUCE_OUTPUT_URI",
            "CAUCE_PIPELINE",
            "CAUCE_RUN_ID",
            "CAUCE_TASK",
            "DB_PASSWORD",
            "HOME",
            "LANG",
            "MODE",
            "PATH",
            "TZ",
        ]
    );
    assert_eq!(found["MODE"], "a b=c");
    let bin = project.root().join("bin").display().to_string();
    assert_eq!(found["PATH"], format!("/usr/bin:/bin:{bin}"), "behind all others");
    assert!(found["AWS_ENDPOINT_URL"].starts_with("http://127.0.0.1:"));
    assert_eq!(found["DB_PASSWORD"], "***");
}

#[tokio::test]
async fn a_script_finds_what_is_beside_the_executable_last_and_once() {
    let project = Project::new();
    let bin = project.root().join("bin").display().to_string();
    let command = ["/usr/bin/env"];
    let theirs = [format!("/opt/theirs:{bin}"), "/opt/theirs".to_owned()];
    for (path, number) in theirs.iter().zip(1..) {
        project.programs.run(&request_with(&command, number, &[("PATH", path)])).await.unwrap();
        let log = project.log_text(number);
        assert!(log.lines().any(|line| line == format!("PATH=/opt/theirs:{bin}")), "{log}");
    }
}

#[tokio::test]
async fn secrets_reach_the_program_and_not_its_log() {
    let project = Project::new();
    project.register(&[("PASSWORD", "secret:erp/password"), ("KEY", "secret:key")], 30);
    // Printed in two writes, so that the value crosses the border of two chunks.
    let script = r#"test "$PASSWORD" = 'correct horse battery' || exit 9
        echo "password is $PASSWORD."; printf 'correct ho'; printf 'rse battery\n'
        echo "$KEY" | tail -n 1"#;
    project.sh(script).await.unwrap();
    assert_eq!(project.log_text(1), "password is ***.\n***\n***\n");
    project.register(&[("PASSWORD", "secret:erp/other")], 30);
    let task = stopped(project.sh("true").await);
    assert_eq!(task["StopCode"], "TaskFailedToStart");
    let reason = task["StoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("ResourceInitializationError: "), "{reason}");
    assert!(reason.contains("'secret:erp/other' has no value in "), "{reason}");
}

#[tokio::test]
async fn failures_have_the_shape_of_ecs() {
    let project = Project::new();
    let task = stopped(project.sh("exit 3").await);
    assert_eq!((exit_code(&task), &task["StopCode"]), (Some(3), &json!("EssentialContainerExited")));
    let task = stopped(project.sh("kill -SEGV $$").await);
    assert_eq!(exit_code(&task), Some(128 + 11));
    let task = stopped(project.sh("kill -KILL $$").await);
    assert_eq!(exit_code(&task), Some(137));
    std::fs::write(project.root().join("plain.txt"), "no program").unwrap();
    for (command, reason) in [
        ("no-such-program", "executable file not found in $PATH"),
        ("./no-such-file", "no such file or directory"),
        ("./plain.txt", "permission denied"),
    ] {
        let task = stopped(project.programs.run(&request(&[command, "x"], 1)).await);
        assert_eq!(task["StopCode"], "TaskFailedToStart");
        assert_eq!(
            task["StoppedReason"],
            format!("CannotStartContainerError: exec: \"{command}\": {reason}")
        );
        assert_eq!(exit_code(&task), None);
    }
    let task = stopped(project.programs.run(&request(&[], 1)).await);
    assert!(task["StoppedReason"].as_str().unwrap().contains("no command"));
    let mut unknown = request(&["true"], 1);
    unknown["TaskDefinition"] = json!("other:1");
    let failure = project.programs.run(&unknown).await.unwrap_err();
    assert_eq!(failure.error, "ECS.ClientException");
    project.nothing_is_left();
}

#[tokio::test]
async fn programs_are_found_beside_cauce_first() {
    let project = Project::new();
    let ours = project.root().join("bin/true");
    std::fs::write(&ours, "#!/bin/sh\necho ours \"$@\"\n").unwrap();
    std::fs::set_permissions(&ours, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project.programs.register(
        "sh",
        TaskDefinition {
            source: Source::Process { argv_prefix: vec!["true".into(), "prefix".into()] },
            ..definition(&[], 30)
        },
    );
    project.programs.run(&request(&["$HOME", "a b", "*"], 1)).await.unwrap();
    assert_eq!(project.log_text(1), "ours prefix $HOME a b *\n");
}

#[tokio::test]
async fn an_output_is_copied_as_it_is() {
    let project = Project::new();
    let uri = "s3://lake/out.json";
    project.sh("true").await.unwrap();
    assert_eq!(project.objects.get(uri, 10).await, Ok(None));
    project.sh(r#"printf '{"rows": 3}' > "$CAUCE_OUTPUT_FILE""#).await.unwrap();
    assert_eq!(project.objects.get(uri, 100).await, Ok(Some(b"{\"rows\": 3}".to_vec())));
    // Neither JSON nor small: the judge of it sees enough to tell.
    project.sh(r#"head -c 3000000 /dev/zero > "$CAUCE_OUTPUT_FILE""#).await.unwrap();
    let copied = project.objects.get(uri, 10_000_000).await.unwrap().unwrap();
    assert_eq!(copied.len(), 1024 * 1024 + 1);
    // A failed program's output is none.
    project.objects.put(uri, b"before").await.unwrap();
    stopped(project.sh(r#"echo '{}' > "$CAUCE_OUTPUT_FILE"; exit 1"#).await);
    assert_eq!(project.objects.get(uri, 10).await, Ok(Some(b"before".to_vec())));
    // Nor is what can never be read to its end.
    let task = project.sh(r#"mkfifo "$CAUCE_OUTPUT_FILE""#).await.unwrap();
    assert!(task["Containers"][0]["Reason"].as_str().unwrap().contains("not a regular file"));
}

#[tokio::test]
async fn a_flood_is_bounded_and_blocks_nobody() {
    let project = Project::new();
    project.sh("echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last").await.unwrap();
    let log = project.log_text(1);
    assert!(log.starts_with("first\nxxx"));
    assert!(log.ends_with("xxx\nlast\n"));
    let printed = 6 + 200_000_000 + 6;
    assert!(log.contains(&format!("{} bytes of this log were left out here", printed - LOG_BYTES_MAX)));
    assert!(log.len() < 66_000, "{}", log.len());
}

#[tokio::test]
async fn binary_output_is_kept_as_it_is() {
    let project = Project::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    std::fs::write(project.root().join("bytes"), &bytes).unwrap();
    project.sh("cat bytes").await.unwrap();
    assert_eq!(project.log(1), bytes);
}

#[tokio::test]
async fn children_left_behind_end_with_their_parent() {
    let project = Project::new();
    // One in the group, one that left it; both hold the pipe of the log open for ever.
    let script = "sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & wait_for=$!
        while ! grep -q setsid-is-up up 2>/dev/null; do :; done; exit 0";
    let script = script.replace("'echo $$;", "'echo $$; echo setsid-is-up > up;");
    project.sh(&script).await.unwrap();
    let log = project.log_text(1);
    let ids: Vec<&str> = log.lines().collect();
    assert_eq!(ids.len(), 2, "{log}");
    for pid in ids {
        // Killed before the task was reported; the system may take a moment to bury it.
        while !is_gone(pid) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_stop_is_heard_and_reported() {
    let project = Project::new();
    let fifo = project.root().join("ready");
    make_fifo(&fifo);
    let script = "trap 'echo stopping; exit 0' TERM; echo up > ready; while :; do sleep 0.01; done";
    let (outcome, _) = tokio::join!(project.sh(script), async {
        assert_eq!(read_fifo(fifo).await, "up\n");
        let key = RunKey::new("p", "r");
        let found = project.programs.find(&key).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].task.as_str(), found[0].attempt), ("token-1", "t", 1));
        assert_eq!(project.programs.find(&RunKey::new("p", "other")).await.unwrap(), []);
        project.programs.stop("token-1", "cancelled by hand").await.unwrap();
        project.programs.stop("token-1", "again").await.unwrap();
    });
    let task = stopped(outcome);
    assert_eq!(task["StopCode"], "UserInitiated");
    assert_eq!(task["StoppedReason"], "cancelled by hand");
    assert_eq!(exit_code(&task), Some(0));
    assert!(project.log_text(1).contains("stopping"));
    project.programs.stop("token-1", "ended").await.unwrap();
    project.nothing_is_left();
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let project = Project::new();
    project.register(&[], 0);
    let fifo = project.root().join("ready");
    make_fifo(&fifo);
    let script = "trap '' TERM; echo up > ready; while :; do sleep 0.01; done";
    let (outcome, ()) = tokio::join!(project.sh(script), async {
        read_fifo(fifo).await;
        project.programs.stop_all("shutting down").await;
    });
    let task = stopped(outcome);
    assert_eq!((exit_code(&task), &task["StopCode"]), (Some(137), &json!("UserInitiated")));
    project.nothing_is_left();
}

#[tokio::test]
async fn the_same_token_is_the_same_program() {
    let project = Project::new();
    let fifo = project.root().join("go");
    make_fifo(&fifo);
    let request = request(&["sh", "-c", "echo $$; cat go > /dev/null"], 1);
    let (one, two, ()) =
        tokio::join!(project.programs.run(&request), project.programs.run(&request), async {
            let fifo = fifo.clone();
            tokio::task::spawn_blocking(move || std::fs::write(fifo, "go").unwrap()).await.unwrap();
        });
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(project.log_text(1).lines().count(), 1);
}

#[tokio::test]
async fn an_earlier_attempt_ends_before_the_next_begins() {
    let project = Project::new();
    let fifo = project.root().join("ready");
    make_fifo(&fifo);
    let slow = "trap 'sleep 0.1; echo first-ended >> order; exit 1' TERM; echo up > ready
        while :; do sleep 0.01; done";
    let first = request(&["sh", "-c", slow], 1);
    let second = request(&["sh", "-c", "echo second-began >> order"], 2);
    let (one, two) = tokio::join!(project.programs.run(&first), async {
        read_fifo(fifo).await;
        project.programs.stop("token-1", "timeout").await.unwrap();
        project.programs.run(&second).await
    });
    stopped(one);
    two.unwrap();
    let order = std::fs::read_to_string(project.root().join("order")).unwrap();
    assert_eq!(order, "first-ended\nsecond-began\n");
}

#[tokio::test]
async fn a_log_that_cannot_be_made_is_a_clear_failure() {
    let project = Project::new();
    std::fs::remove_dir_all(project.state.logs()).unwrap();
    std::fs::write(project.state.logs(), "in the way").unwrap();
    let task = stopped(project.sh("true").await);
    let reason = task["StoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("ResourceInitializationError: no log "), "{reason}");
    project.nothing_is_left();
}

/// A stand-in for the engine of containers that shows how it was called.
const FAKE_ENGINE: &str = r#"#!/bin/sh
case "$1" in
  image) echo "Error: no such image" >&2; exit 1 ;;
  rm) exit 0 ;;
esac
printf '<%s>\n' "$@"
echo "PASSWORD=$PASSWORD MODE=$MODE PATH=$PATH"
for word in "$@"; do
  case "$word" in
    missing:1) exit 125 ;;
    --volume=*) folder=${word#--volume=}; echo '{"rows": 1}' > "${folder%:*}/output.json" ;;
  esac
done
"#;

#[tokio::test]
async fn containers_are_run_without_values_in_the_command_line() {
    let project = Project::new();
    let root = project.root();
    let engine = root.join("bin/podman");
    std::fs::write(&engine, FAKE_ENGINE).unwrap();
    std::fs::set_permissions(&engine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
    let mut setup = setup(&root, &project.state);
    setup.environment.insert("PATH".into(), path.clone());
    let programs = Processes::new(setup, project.objects.clone(), SystemClock);
    let container = |image: &str| TaskDefinition {
        source: Source::Container { image: image.to_owned() },
        ..definition(&[("PASSWORD", "secret:erp/password")], 30)
    };
    programs.register("sh", container("ingesta:1"));
    let more = [("MODE", "full"), ("PATH", "/app/bin")];
    programs.run(&request_with(&["python", "a b"], 1, &more)).await.unwrap();
    let log = project.log_text(1);
    let words: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix('<')?.strip_suffix('>')).collect();
    assert_eq!(words[..4], ["run", "--rm", "--name=cauce-token-1", "--network=host"]);
    assert!(words.contains(&"--ulimit=nofile=1024"));
    for name in ["PASSWORD", "MODE", "CAUCE_TASK", "CAUCE_OUTPUT_FILE", "AWS_ENDPOINT_URL"] {
        assert!(words.contains(&format!("--env={name}").as_str()), "{name}: {words:?}");
    }
    assert!(words.contains(&"--env=PATH=/app/bin"), "the engine keeps its own PATH: {words:?}");
    assert_eq!(words[words.len() - 3..], ["ingesta:1", "python", "a b"]);
    assert!(log.contains(&format!("PASSWORD=*** MODE=full PATH={path}")), "{log}");
    let output = project.objects.get("s3://lake/out.json", 100).await.unwrap().unwrap();
    assert_eq!(output, b"{\"rows\": 1}\n");

    programs.register("sh", container("missing:1"));
    let task = stopped(programs.run(&request(&["x"], 1)).await);
    assert_eq!(task["StopCode"], "TaskFailedToStart");
    let reason = task["StoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("CannotPullContainerError: image 'missing:1' not found"), "{reason}");
    project.nothing_is_left();
}

#[tokio::test]
async fn without_an_engine_the_failure_says_what_to_install() {
    let project = Project::new();
    let mut setup = setup(&project.root(), &project.state);
    setup.environment.insert("PATH".into(), project.root().join("bin").display().to_string());
    let programs = Processes::new(setup, project.objects.clone(), SystemClock);
    programs.register(
        "sh",
        TaskDefinition { source: Source::Container { image: "i:1".into() }, ..definition(&[], 30) },
    );
    let task = stopped(programs.run(&request(&["x"], 1)).await);
    let reason = task["StoppedReason"].as_str().unwrap();
    assert!(reason.contains("image 'i:1' needs podman or docker"), "{reason}");
}

#[test]
fn programs_end_with_the_runtime_of_their_engine() {
    let project = Project::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fifo = project.root().join("ready");
    make_fifo(&fifo);
    let pid = runtime.block_on(async {
        let run = project.sh("echo $$ > ready; exec sleep 1000");
        tokio::select! {
            outcome = run => panic!("{outcome:?}"),
            pid = read_fifo(fifo) => pid,
        }
    });
    assert!(!is_gone(pid.trim()));
    drop(runtime);
    assert!(is_gone(pid.trim()));
}
