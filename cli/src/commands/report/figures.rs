//! The figures of a report: distributions, rates, and what about them needs a look. Pure: it is given what
//! was read, and knows no clock.

use std::collections::BTreeMap;

use serde::Serialize;

/// Fewer values than this make no finding: one slow run of three says nothing.
const FEW: usize = 5;

/// The newest so many of all runs are held against the older ones: one in four, at least three.
const NEWEST_SHARE: usize = 4;
const NEWEST_MIN: usize = 3;

/// How many times another figure a p95 may be before it is a finding.
const TIMES: f64 = 2.0;

/// The share of attempts that may fail before it is a finding.
const FAILURES: f64 = 0.05;

/// Times below this are no finding: what takes so short is not where the time goes.
const SHORT_SECONDS: f64 = 1.0;

/// How many of the longest waits are told.
const WAITS: usize = 3;

/// What a task did in one run.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Sample {
    /// Seconds of every attempt that ended, its own or its items'.
    pub(crate) attempts: Vec<f64>,
    /// How many of these failed.
    pub(crate) failed_attempts: usize,
    /// Whether it ended as failed.
    pub(crate) failed: bool,
    /// Seconds from the end of the last of its upstreams to its start.
    pub(crate) waited: Option<f64>,
    /// Of these, in line for slots.
    pub(crate) in_line: Option<f64>,
    /// Rows that its output tells of, with the seconds that they took.
    pub(crate) rows: Option<(f64, f64)>,
    /// What it took, in billionths of a dollar.
    pub(crate) nano_usd: u64,
}

/// A distribution of seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Spread {
    /// How many values.
    pub(crate) count: usize,
    /// Half of them are at most this; and so on.
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) mean: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The distribution of these values; none of none. A percentile is a value that was measured: the
    /// smallest that at least so many are not above.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let rank = |share: usize| sorted.get((count * share).div_ceil(100).max(1) - 1).copied();
        Some(Self {
            count,
            p50: rank(50)?,
            p95: rank(95)?,
            p99: rank(99)?,
            mean: sorted.iter().sum::<f64>() / count as f64,
            max: *sorted.last()?,
        })
    }
}

/// A task over several runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Figures {
    /// Runs in which it did something.
    pub(crate) runs: usize,
    /// Runs in which it ended as failed.
    pub(crate) failed_runs: usize,
    /// Attempts that ended.
    pub(crate) attempts: usize,
    /// Of these, failed.
    pub(crate) failed_attempts: usize,
    /// Their share.
    pub(crate) failure_rate: f64,
    /// Seconds of an attempt.
    pub(crate) seconds: Option<Spread>,
    /// Seconds from the end of the last upstream to the start.
    pub(crate) waited_seconds: Option<Spread>,
    /// Of these, in line for slots, where it stood in one.
    pub(crate) in_line_seconds: Option<Spread>,
    /// Rows that its outputs tell of.
    pub(crate) rows: Option<f64>,
    /// Rows by second, over all of them.
    pub(crate) rows_per_second: Option<f64>,
    /// What it took, in dollars.
    pub(crate) usd: f64,
}

/// The figures of a task from what it did in each run.
pub(crate) fn figures(samples: &[Sample]) -> Figures {
    let attempts = samples.iter().map(|sample| sample.attempts.len()).sum();
    let failed_attempts: usize = samples.iter().map(|sample| sample.failed_attempts).sum();
    let counted: Vec<(f64, f64)> = samples.iter().filter_map(|sample| sample.rows).collect();
    let rows: f64 = counted.iter().map(|(rows, _)| rows).sum();
    let took: f64 = counted.iter().map(|(_, seconds)| seconds).sum();
    Figures {
        runs: samples.len(),
        failed_runs: samples.iter().filter(|sample| sample.failed).count(),
        attempts,
        failed_attempts,
        failure_rate: if attempts == 0 { 0.0 } else { failed_attempts as f64 / attempts as f64 },
        seconds: Spread::of(samples.iter().flat_map(|sample| sample.attempts.iter().copied())),
        waited_seconds: Spread::of(samples.iter().filter_map(|sample| sample.waited)),
        in_line_seconds: Spread::of(samples.iter().filter_map(|sample| sample.in_line)),
        rows: (!counted.is_empty()).then_some(rows),
        rows_per_second: (!counted.is_empty() && took > 0.0).then_some(rows / took),
        usd: samples.iter().map(|sample| sample.nano_usd).sum::<u64>() as f64 / 1e9,
    }
}

/// What needs a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The slowest attempts take much longer than the average.
    Bottleneck,
    /// The slowest attempts take much longer than the usual one.
    Spread,
    /// The newest runs are much slower than those before.
    Slower,
    /// Attempts fail too often.
    Failures,
    /// It waits long before it starts.
    Waits,
}

/// A finding about a task.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) task: String,
    pub(crate) kind: Kind,
    /// The figure that is too large: seconds, or a share.
    pub(crate) value: f64,
    /// What it is held against.
    pub(crate) against: f64,
}

/// What stands out, of samples by task in the order of the runs, the oldest first. By task, the longest
/// waits last.
pub(crate) fn findings(tasks: &BTreeMap<String, Vec<Sample>>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut waits = Vec::new();
    for (task, samples) in tasks {
        let all = figures(samples);
        let mut add = |kind, value: f64, against: f64| {
            found.push(Finding { task: task.clone(), kind, value, against });
        };
        if let Some(spread) = all.seconds.filter(|s| s.count >= FEW && s.p95 >= SHORT_SECONDS) {
            if spread.p95 > TIMES * spread.mean {
                add(Kind::Bottleneck, spread.p95, spread.mean);
            }
            if spread.p95 > TIMES * spread.p50 {
                add(Kind::Spread, spread.p95, spread.p50);
            }
        }
        if let Some((before, now)) = drift(samples).filter(|(_, now)| *now >= SHORT_SECONDS)
            && now > TIMES * before
        {
            add(Kind::Slower, now, before);
        }
        if all.attempts >= FEW && all.failure_rate > FAILURES {
            add(Kind::Failures, all.failure_rate, FAILURES);
        }
        if let Some(waited) = all.waited_seconds.filter(|waited| waited.p95 >= SHORT_SECONDS) {
            let against = all.seconds.map_or(0.0, |seconds| seconds.mean);
            waits.push(Finding { task: task.clone(), kind: Kind::Waits, value: waited.p95, against });
        }
    }
    waits.sort_by(|a, b| b.value.total_cmp(&a.value));
    found.extend(waits.into_iter().take(WAITS));
    found
}

/// The p95 of the older runs and of the newest ones, where there are enough of both.
fn drift(samples: &[Sample]) -> Option<(f64, f64)> {
    let newest = (samples.len() / NEWEST_SHARE).max(NEWEST_MIN);
    let (older, newest) = samples.split_at(samples.len().checked_sub(newest)?);
    let p95 = |of: &[Sample]| Spread::of(of.iter().flat_map(|sample| sample.attempts.iter().copied()));
    let (older, newest) = (p95(older)?, p95(newest)?);
    (older.count >= FEW && newest.count >= NEWEST_MIN).then_some((older.p95, newest.p95))
}

/// A task of one run, as far as time is concerned.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Span {
    /// The tasks that it needs, by position.
    pub(crate) needs: Vec<usize>,
    /// Seconds from the start of the run, where it has ended.
    pub(crate) ended: Option<f64>,
    /// Whether it ended without anything of it having run: it took no time of its own.
    pub(crate) idle: bool,
}

/// The tasks that made the run as long as it was, the first first: from the task that ended last, always
/// to the upstream that ended last. Idle ones are none of them, but lead to those that they waited for.
pub(crate) fn critical_path(spans: &[Span]) -> Vec<usize> {
    let last = |of: &mut dyn Iterator<Item = usize>| {
        let ended = of.filter_map(|at| Some((at, spans[at].ended?)));
        // Of those that ended together the first counts.
        ended.fold(None, |best: Option<(usize, f64)>, (at, ended)| match best {
            Some((_, before)) if before >= ended => best,
            _ => Some((at, ended)),
        })
    };
    let mut path = Vec::new();
    let mut next = last(&mut (0..spans.len()).filter(|at| !spans[*at].idle));
    while let Some((at, _)) = next {
        if !spans[at].idle {
            path.push(at);
        }
        next = last(&mut spans[at].needs.iter().copied());
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: &[f64]) -> Vec<Sample> {
        seconds.iter().map(|s| Sample { attempts: vec![*s], ..Sample::default() }).collect()
    }

    fn found(samples: Vec<Sample>) -> Vec<Kind> {
        let tasks = BTreeMap::from([("load".to_owned(), samples)]);
        findings(&tasks).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred = Spread::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!((hundred.p50, hundred.p95, hundred.p99, hundred.max), (50.0, 95.0, 99.0, 100.0));
        assert_eq!((hundred.mean, hundred.count), (50.5, 100));
        let twenty = Spread::of((1..=20).map(f64::from)).unwrap();
        assert_eq!((twenty.p50, twenty.p95, twenty.p99), (10.0, 19.0, 20.0));
        let one = Spread::of([7.0]).unwrap();
        assert_eq!((one.p50, one.p95, one.p99, one.mean), (7.0, 7.0, 7.0, 7.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn even_times_find_nothing() {
        assert_eq!(found(of(&[10.0; 40])), []);
        assert_eq!(found(of(&(0..40).map(|n| 10.0 + f64::from(n) / 10.0).collect::<Vec<_>>())), []);
        assert_eq!(found(Vec::new()), []);
    }

    #[test]
    fn a_slow_tail_is_a_bottleneck_and_a_spread() {
        // 18 of 10 s and 2 of 100 s: p50 10, p95 100, mean 19.
        let mut seconds = vec![10.0; 18];
        seconds.splice(5..5, [100.0, 100.0]);
        assert_eq!(found(of(&seconds)), [Kind::Bottleneck, Kind::Spread]);
        // Half and half: p95 100 is less than twice the mean of 55, and ten times the usual 10.
        let half: Vec<f64> = (0..20).map(|n| if n % 2 == 0 { 10.0 } else { 100.0 }).collect();
        assert_eq!(found(of(&half)), [Kind::Spread]);
        // Exactly twice is none.
        let twice: Vec<f64> = (0..20).map(|n| if n % 2 == 0 { 10.0 } else { 20.0 }).collect();
        assert_eq!(found(of(&twice)), []);
    }

    #[test]
    fn what_takes_no_time_and_what_ran_too_seldom_finds_nothing() {
        let short: Vec<f64> = (0..20).map(|n| if n % 2 == 0 { 0.01 } else { 0.5 }).collect();
        assert_eq!(found(of(&short)), []);
        assert_eq!(found(of(&[1.0, 1.0, 1.0, 100.0])), []);
        assert_eq!(found(of(&[1.0, 1.0, 1.0, 1.0, 100.0])), [Kind::Bottleneck, Kind::Spread]);
    }

    #[test]
    fn newer_runs_are_held_against_the_older_ones() {
        // Of 20 the newest five.
        let slower =
            |from: usize| -> Vec<f64> { (0..20).map(|run| if run >= from { 25.0 } else { 10.0 }).collect() };
        assert_eq!(drift(&of(&slower(15))), Some((10.0, 25.0)));
        assert!(found(of(&slower(15))).contains(&Kind::Slower));
        let faster: Vec<f64> = slower(15).into_iter().rev().collect();
        assert!(!found(of(&faster)).contains(&Kind::Slower));
        // Slow all along is not slower.
        assert!(!found(of(&slower(0))).contains(&Kind::Slower));
        assert_eq!(drift(&of(&[1.0; 7])), None);
        assert_eq!(drift(&of(&[1.0; 8])), Some((1.0, 1.0)));
    }

    #[test]
    fn failures_are_counted_by_attempts() {
        let failing = |attempts: usize, failed: usize| {
            let sample =
                Sample { attempts: vec![2.0; attempts], failed_attempts: failed, ..Sample::default() };
            vec![sample]
        };
        assert_eq!(found(failing(20, 1)), []);
        assert_eq!(found(failing(19, 1)), [Kind::Failures]);
        assert_eq!(found(failing(4, 4)), []);
        assert_eq!(figures(&failing(4, 1)).failure_rate, 0.25);
    }

    #[test]
    fn the_longest_waits_are_told_and_the_longest_first() {
        let waits = [("a", 5.0), ("b", 90.0), ("c", 0.2), ("d", 7.0), ("e", 60.0)];
        let sample = |waited| vec![Sample { waited: Some(waited), ..Sample::default() }];
        let tasks = waits.iter().map(|(task, waited)| ((*task).to_owned(), sample(*waited))).collect();
        let told: Vec<String> = findings(&tasks).into_iter().map(|finding| finding.task).collect();
        assert_eq!(told, ["b", "e", "d"]);
    }

    #[test]
    fn rows_by_second_are_those_of_all_rows() {
        let sample = |rows, seconds| Sample { rows: Some((rows, seconds)), ..Sample::default() };
        let told = figures(&[sample(100.0, 1.0), sample(300.0, 3.0), Sample::default()]);
        assert_eq!((told.rows, told.rows_per_second), (Some(400.0), Some(100.0)));
        assert_eq!(figures(&of(&[1.0])).rows_per_second, None);
        assert_eq!(figures(&[sample(5.0, 0.0)]).rows_per_second, None);
    }

    #[test]
    fn the_critical_path_goes_through_the_upstreams_that_ended_last() {
        let span = |needs: &[usize], ended| Span { needs: needs.to_vec(), ended, idle: false };
        let spans = [
            span(&[], Some(5.0)),
            span(&[], Some(9.0)),
            span(&[0, 1], Some(10.0)),
            span(&[0], Some(30.0)),
            span(&[2], Some(12.0)),
            span(&[3, 4], Some(31.0)),
            span(&[5], None),
        ];
        assert_eq!(critical_path(&spans), [0, 3, 5]);
        assert!(critical_path(&[span(&[], None)]).is_empty());
        // What was skipped last made nothing longer; what was skipped on the way is passed over.
        let idle = |needs: &[usize], ended| Span { idle: true, ..span(needs, ended) };
        let skipped =
            [span(&[], Some(5.0)), idle(&[0], Some(5.0)), span(&[1], Some(7.0)), idle(&[], Some(9.0))];
        assert_eq!(critical_path(&skipped), [0, 2]);
        // The first of those that ended together.
        assert_eq!(critical_path(&[span(&[], Some(1.0)), span(&[], Some(1.0))]), [0]);
    }
}
