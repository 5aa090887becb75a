//! What may go wrong, scenario by scenario, and what must hold all the same.
//!
//! Each scenario is proved by a function that makes it happen, checks what it promises and returns what it
//! counted. One in which nothing went wrong between a decision and its last effect has proved nothing, and
//! fails. `make scenarios` prints the counts; docs/reliability.md tells of the scenarios in words.

mod cloud;
mod functions;
mod leases;
mod repairs;
mod runs;
mod triggers;

use cauce_testkit::faulty::{Faults, Fired};
use std::collections::BTreeMap;

/// What a proof has seen.
#[derive(Default)]
pub(crate) struct Evidence {
    /// Cases that were tried.
    cases: u64,
    /// Faults of ports.
    fired: Fired,
    /// What else went wrong between a decision and its last effect, in words.
    besides: BTreeMap<&'static str, u64>,
}

impl Evidence {
    /// The faults that there were.
    pub(crate) fn add(&mut self, faults: &Faults) {
        self.fired += faults.fired();
    }

    /// Faults counted elsewhere.
    pub(crate) fn fired(&mut self, fired: Fired) {
        self.fired += fired;
    }

    /// A case was tried.
    pub(crate) const fn case(&mut self) {
        self.cases += 1;
    }

    /// Something else went wrong between a decision and its last effect.
    pub(crate) fn saw(&mut self, what: &'static str, times: u64) {
        *self.besides.entry(what).or_default() += times;
    }

    fn counted(&self) -> u64 {
        self.fired.after_decision + self.besides.values().sum::<u64>()
    }
}

/// Checks and tells what the proof of a scenario has seen.
fn proved(number: u8, promise: &str, evidence: &Evidence) {
    let Evidence { cases, fired, besides } = evidence;
    let mut all: Vec<(&str, u64)> = vec![
        ("throttled", fired.throttled),
        ("conflicts", fired.conflict),
        ("requests lost", fired.lost_before),
        ("replies lost", fired.lost_after),
        ("stale reads", fired.stale),
        ("deaths", fired.died),
    ];
    all.extend(besides.iter().map(|(what, times)| (*what, *times)));
    let words: Vec<String> =
        all.iter().filter(|(_, times)| *times > 0).map(|(what, times)| format!("{times} {what}")).collect();
    println!(
        "{number:>2} {promise}: {cases} cases; {} ({} between a decision and its last effect)",
        words.join(", "),
        evidence.counted()
    );
    assert!(*cases > 0, "no case was tried");
    assert!(evidence.counted() > 0, "nothing went wrong between a decision and its last effect");
}

macro_rules! scenarios {
    ($($number:literal $name:ident: $promise:literal by $prove:path;)*) => {
        $(
            #[test]
            fn $name() {
                proved($number, $promise, &$prove());
            }
        )*

        /// Number and promise of each scenario that is proved.
        const PROVED: &[(u8, &str)] = &[$(($number, $promise)),*];
    };
}

scenarios! {
    1 scenario_01: "a tick that is delivered several times is one run" by triggers::delivered_again;
    2 scenario_02: "a trigger that dies before the start of the execution: exactly one is started" by triggers::dies_before_the_start;
    3 scenario_03: "a trigger that dies after the start of the execution: it is adopted" by triggers::dies_after_the_start;
    4 scenario_04: "an execution of the run's name with other input: said, never dropped" by triggers::name_is_taken;
    5 scenario_05: "files in any order and number: the same end" by triggers::files_shuffled;
    6 scenario_06: "keys with spaces, plus and letters of all kinds: one identity" by triggers::strange_keys;
    7 scenario_07: "a function that is lost at any call and tried again: the same end" by functions::lost_at_every_call;
    8 scenario_08: "a late first attempt is rejected by its fence" by leases::late_attempt;
    9 scenario_09: "a paused holder writes nothing stale" by leases::paused_holder;
    10 scenario_10: "clocks ten minutes apart: nothing is taken early" by leases::clocks_apart;
    11 scenario_11: "many contend and die: never more holders than slots, all slots come back" by leases::contenders_die;
    12 scenario_12: "a write whose reply was lost is applied once" by functions::replies_lost;
    13 scenario_13: "three of ten calls throttled: no transition lost or doubled" by functions::throttled;
    14 scenario_14: "an index that lags: the same decisions, later" by functions::index_lags;
    15 scenario_15: "what expires is removed at once or never: the same behaviour" by functions::expiry;
    16 scenario_16: "no event of a status arrives: every run ends within the sweep's bound" by repairs::events_dropped;
    17 scenario_17: "events in any order: a status never goes back" by repairs::events_shuffled;
    18 scenario_18: "a token answered twice, late, after its time: one effect" by repairs::token_answered_again;
    19 scenario_19: "an abort whose stops are not heard: no orphan outlives the sweep" by repairs::stops_denied;
    20 scenario_20: "capacity taken back at any instant: the same committed output" by repairs::spot_stops;
    21 scenario_21: "no capacity for a while: all run in the end, launches within their limit" by repairs::no_capacity;
    22 scenario_22: "one poisoned pipeline among a thousand: the others on time" by runs::one_is_poisoned;
    23 scenario_23: "payloads at, below and above their limits: decided, never a failure at run time" by runs::limits;
    24 scenario_24: "the engine dies at any call: what was acknowledged stands, another finishes" by functions::engine_dies;
    25 scenario_25: "random pipelines in foul weather end as the reference model says" by runs::random;
}

#[test]
fn all_scenarios_are_proved() {
    let numbers: Vec<u8> = PROVED.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=25).collect::<Vec<u8>>());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let told = std::fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    for (number, promise) in PROVED {
        assert!(
            told.contains(&format!("| {number} | {promise} |")),
            "docs/reliability.md lacks: {number} {promise}"
        );
    }
}
