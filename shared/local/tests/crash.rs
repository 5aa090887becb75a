//! `kill -9` of the process that writes the table or drives the programs.
//!
//! The victim is this test binary itself, started anew with one test and a folder to work in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use cauce_local::clock::SystemClock;
use cauce_local::objects::FolderObjects;
use cauce_local::processes::{Aws, Processes, Setup, Source, TaskDefinition};
use cauce_local::secrets::Secrets;
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::StateDir;
use cauce_model::item::{Change, Expect, Item, Key, Step, When, Write};
use cauce_model::{Json, RunKey};
use cauce_ports::{Table, TaskRunner};
use cauce_testkit::prng::Prng;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Tells a victim where to work; absent in the test proper.
const FOLDER: &str = "CAUCE_TEST_VICTIM_FOLDER";

/// What a victim's lines begin with: the harness prints its own between them.
const MARK: &str = "victim: ";

fn victim_folder() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test binary that starts itself as its victim")]
    let folder = std::env::var_os(FOLDER);
    folder.map(PathBuf::from)
}

fn say(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{text}").unwrap();
    out.flush().unwrap();
}

struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(test: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next thing it said.
    fn hear(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix(MARK).map(str::to_owned))
    }

    /// Kills it at once, and returns what it had said by then.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut said = Vec::new();
        while let Some(line) = self.hear() {
            said.push(line);
        }
        said
    }
}

/// What the killed writer writes: a counter, and pairs of items in one transaction each.
async fn write_for_ever(folder: &Path) {
    let table = SqliteTable::open(&folder.join("table.sqlite"), SystemClock).unwrap();
    let counter = Key::new("p", "counter");
    let add = Change { steps: vec![Step::Add("n".into(), 1)] };
    loop {
        let always = When::always();
        let (one, two) =
            tokio::join!(table.update(&counter, &add, &always), table.update(&counter, &add, &always));
        let number = one.unwrap().body["n"].as_i64().max(two.unwrap().body["n"].as_i64()).unwrap();
        let put = |side: &str| Write::Put {
            item: Item::new(Key::new("pairs", format!("{number:09}-{side}")), Default::default()),
            expect: Expect::Absent,
        };
        table.write(&[put("a"), put("b")], &format!("pair-{number}")).await.unwrap();
        say(number);
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_the_kill_of_their_writer() {
    if let Some(folder) = victim_folder() {
        write_for_ever(&folder).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut prng = Prng::new(24);
    let mut acknowledged = 0;
    for _ in 0..12 {
        let mut victim = Victim::start("acknowledged_writes_survive_the_kill_of_their_writer", folder.path());
        for _ in 0..=prng.below(60) {
            acknowledged = victim.hear().unwrap().parse().unwrap();
        }
        for said in victim.kill() {
            // The last line may be cut off by the kill.
            acknowledged = said.parse().unwrap_or(acknowledged).max(acknowledged);
        }
        let table = SqliteTable::open(&folder.path().join("table.sqlite"), SystemClock).unwrap();
        let counter = table.get(&Key::new("p", "counter")).await.unwrap().unwrap();
        let found = counter.body["n"].as_i64().unwrap();
        assert!(found >= acknowledged, "{found} after {acknowledged} was acknowledged");
        let pairs = table.query("pairs", "", None, 1_000_000).await.unwrap().items;
        assert_eq!(pairs.len() % 2, 0, "half a transaction is there");
        let last = format!("{acknowledged:09}-b");
        assert!(pairs.iter().any(|item| item.key.sort == last), "{last} was acknowledged");
    }
}

fn programs(folder: &Path) -> (StateDir, Processes<FolderObjects, SystemClock>) {
    let state = StateDir::open(folder.join(".cauce")).unwrap();
    let objects = FolderObjects::fast(state.objects(), folder);
    let setup = Setup {
        project: folder.to_owned(),
        state: state.clone(),
        programs: None,
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        aws: Aws::Host(BTreeMap::new()),
        secrets: Secrets::default(),
        log_bytes_max: 1_000_000,
        engine_args: Vec::new(),
    };
    let programs = Processes::new(setup, objects, SystemClock);
    programs.register(
        "sh",
        TaskDefinition {
            source: Source::Process { argv_prefix: vec!["sh".into(), "-c".into()] },
            secrets: BTreeMap::new(),
            stop_timeout_seconds: 1,
        },
    );
    (state, programs)
}

fn request(run_id: &str, task: &str, script: &str) -> Json {
    let environment: Vec<Json> =
        [("CAUCE_PIPELINE", "p"), ("CAUCE_RUN_ID", run_id), ("CAUCE_TASK", task), ("CAUCE_ATTEMPT", "1")]
            .iter()
            .map(|(name, value)| json!({"Name": name, "Value": value}))
            .collect();
    json!({
        "TaskDefinition": "sh",
        "ClientToken": format!("{run_id}-{task}"),
        "Overrides": {"ContainerOverrides": [{"Command": [script], "Environment": environment}]},
    })
}

/// Three programs of one run that end badly in three ways, and one of another run.
async fn drive_programs(folder: &Path) {
    let (state, programs) = programs(folder);
    let _lock = state.lock_run(&RunKey::new("p", "r"), "p/r").unwrap();
    let up = "echo $$ >> ids; echo up > ready; ";
    let requests = [
        // Goes when told.
        request("r", "obedient", &format!("{up} exec sleep 1000")),
        // Must be killed, with its child.
        request("r", "stubborn", &format!("trap '' TERM; sleep 1000 & echo $! >> ids; {up} wait; wait")),
        // Its leader is killed with the engine, and leaves a child in the group.
        request(
            "r",
            "orphan",
            &format!("sh -c 'echo $$ >> ids; exec sleep 1000' & echo $$ > leader; {up} wait"),
        ),
        request("other", "bystander", "echo $$ > bystander; echo up > ready; exec sleep 1000"),
    ];
    let [a, b, c, d] = &requests;
    let _ = tokio::join!(programs.run(a), programs.run(b), programs.run(c), programs.run(d));
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim().starts_with('Z'))
}

#[tokio::test]
async fn programs_that_survive_their_engine_are_ended() {
    if let Some(folder) = victim_folder() {
        drive_programs(&folder).await;
        return;
    }
    if !Path::new("/proc/self/environ").exists() {
        println!("skipped: needs /proc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let ready = root.join("ready");
    assert!(Command::new("mkfifo").arg(&ready).status().unwrap().success());
    let victim = Victim::start("programs_that_survive_their_engine_are_ended", &root);
    let mut up = 0;
    while up < 4 {
        up += std::fs::read_to_string(&ready).unwrap().lines().count();
    }
    victim.kill();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let leader = read("leader");
    assert!(Command::new("kill").args(["-KILL", leader.trim()]).status().unwrap().success());
    let ids = read("ids");
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
    let bystander = read("bystander");
    assert!(is_alive(bystander.trim()));

    let (state, programs) = programs(&root);
    let key = RunKey::new("p", "r");
    // The killed engine's claim went with it.
    let _lock = state.lock_run(&key, "p/r").unwrap();
    // Killed between spawn and writing the file: the marks are enough.
    if let Err(error) = std::fs::remove_file(state.running().join("r-obedient.json")) {
        // Which may truly have happened.
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
    // A number given anew to a stranger: this very process.
    let stale = json!({
        "token": "stale", "pid": std::process::id(), "start": {"boot": "another", "ticks": 1},
        "pipeline": "p", "run_id": "r", "task": "stale", "index": null, "attempt": 1,
        "stop_timeout_seconds": 1, "container": null,
    });
    std::fs::write(state.running().join("stale.json"), stale.to_string()).unwrap();
    let ended = programs.end_survivors(&key).await.unwrap();
    let tasks: Vec<&str> = ended.iter().map(|task| task.task.as_str()).collect();
    assert_eq!(tasks, ["obedient", "orphan", "stubborn", "stale"]);
    for pid in ids {
        assert!(!is_alive(pid), "{pid}");
    }
    assert!(is_alive(bystander.trim()), "another run's program is left alone");
    assert_eq!(programs.end_survivors(&key).await.unwrap(), []);
    let others = programs.end_survivors(&RunKey::new("p", "other")).await.unwrap();
    assert_eq!(others.len(), 1);
    assert!(!is_alive(bystander.trim()));
}
