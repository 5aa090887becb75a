//! What the twelve trigger rules decide, given how the upstreams ended. One table; nothing else in
//! the product knows what a rule means.

use cauce_model::{TaskStatus, TriggerRule};

/// How many upstreams ended in which way. An upstream that failed with `allow_failure` counts as a
/// success, a cancelled one as a failure, and a mapped one by its own status, not by its items'.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Declared upstreams.
    pub total: usize,
    /// Ended in success.
    pub success: usize,
    /// Ended failed or cancelled.
    pub failed: usize,
    /// Ended skipped.
    pub skipped: usize,
    /// Ended because of a failure above them.
    pub upstream_failed: usize,
}

impl Tally {
    /// Counts the statuses of all declared upstreams; those not ended are in none of the four.
    pub fn count(upstreams: impl IntoIterator<Item = TaskStatus>) -> Self {
        let mut tally = Self::default();
        for status in upstreams {
            tally.total += 1;
            match status {
                TaskStatus::Success => tally.success += 1,
                TaskStatus::Failed | TaskStatus::Cancelled => tally.failed += 1,
                TaskStatus::Skipped => tally.skipped += 1,
                TaskStatus::UpstreamFailed => tally.upstream_failed += 1,
                TaskStatus::Waiting | TaskStatus::Queued | TaskStatus::Running | TaskStatus::Retrying => {}
            }
        }
        tally
    }

    /// Whether every upstream has ended.
    pub const fn all_ended(&self) -> bool {
        self.success + self.failed + self.skipped + self.upstream_failed == self.total
    }
}

/// What a rule says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not decided yet.
    Wait,
    /// The task runs.
    Run,
    /// The task is skipped.
    Skip,
    /// The task cannot run because of a failure above it.
    UpstreamFailed,
}

/// Applies a rule. A task without upstreams runs, whatever its rule.
pub fn evaluate(rule: TriggerRule, tally: Tally) -> Verdict {
    use Verdict::{Run, Skip, UpstreamFailed, Wait};
    let Tally { total, success, failed, skipped, upstream_failed } = tally;
    let bad = failed + upstream_failed;
    if total == 0 || rule == TriggerRule::Always {
        return Run;
    }
    let early = match rule {
        TriggerRule::OneSuccess => success > 0,
        TriggerRule::OneFailed => bad > 0,
        TriggerRule::OneDone => success + failed > 0,
        _ => false,
    };
    if early {
        return Run;
    }
    if !tally.all_ended() {
        return Wait;
    }
    match rule {
        TriggerRule::AllSuccess if success == total => Run,
        TriggerRule::AllSuccess if bad > 0 => UpstreamFailed,
        TriggerRule::AllSuccess => Skip,
        TriggerRule::AllFailed if bad == total => Run,
        TriggerRule::AllFailed => Skip,
        TriggerRule::AllDone | TriggerRule::Always => Run,
        TriggerRule::AllDoneMinOneSuccess if skipped > 0 => Skip,
        TriggerRule::AllDoneMinOneSuccess if success == 0 => UpstreamFailed,
        TriggerRule::AllDoneMinOneSuccess => Run,
        TriggerRule::AllSkipped if skipped == total => Run,
        TriggerRule::AllSkipped => Skip,
        TriggerRule::OneSuccess if skipped == total => Skip,
        TriggerRule::OneSuccess => UpstreamFailed,
        TriggerRule::OneFailed | TriggerRule::OneDone => Skip,
        TriggerRule::NoneFailed if bad == 0 => Run,
        TriggerRule::NoneFailed => UpstreamFailed,
        TriggerRule::NoneFailedMinOneSuccess if bad > 0 => UpstreamFailed,
        TriggerRule::NoneFailedMinOneSuccess if success == 0 => Skip,
        TriggerRule::NoneFailedMinOneSuccess => Run,
        TriggerRule::NoneSkipped if skipped == 0 => Run,
        TriggerRule::NoneSkipped => Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter an upstream: s success, f failed, k skipped, u upstream_failed, w waiting.
    fn tally(ended: &str) -> Tally {
        Tally::count(ended.chars().map(|c| match c {
            's' => TaskStatus::Success,
            'f' => TaskStatus::Failed,
            'k' => TaskStatus::Skipped,
            'u' => TaskStatus::UpstreamFailed,
            _ => TaskStatus::Waiting,
        }))
    }

    #[test]
    fn every_rule_over_every_pair_of_endings() {
        let mut table = String::new();
        for rule in TriggerRule::ALL {
            let row: Vec<String> =
                ["ss", "sf", "sk", "su", "ff", "fk", "fu", "kk", "ku", "uu", "sw", "fw", "kw", "uw", "ww"]
                    .into_iter()
                    .map(|pair| {
                        let letter = match evaluate(rule, tally(pair)) {
                            Verdict::Run => 'R',
                            Verdict::Skip => 'k',
                            Verdict::UpstreamFailed => 'u',
                            Verdict::Wait => '.',
                        };
                        format!("{pair}:{letter}")
                    })
                    .collect();
            table.push_str(&format!("{rule}: {}\n", row.join(" ")));
        }
        assert_eq!(
            table,
            "\
all_success: ss:R sf:u sk:k su:u ff:u fk:u fu:u kk:k ku:u uu:u sw:. fw:. kw:. uw:. ww:.
all_failed: ss:k sf:k sk:k su:k ff:R fk:k fu:R kk:k ku:k uu:R sw:. fw:. kw:. uw:. ww:.
all_done: ss:R sf:R sk:R su:R ff:R fk:R fu:R kk:R ku:R uu:R sw:. fw:. kw:. uw:. ww:.
all_done_min_one_success: ss:R sf:R sk:k su:R ff:u fk:k fu:u kk:k ku:k uu:u sw:. fw:. kw:. uw:. ww:.
all_skipped: ss:k sf:k sk:k su:k ff:k fk:k fu:k kk:R ku:k uu:k sw:. fw:. kw:. uw:. ww:.
one_success: ss:R sf:R sk:R su:R ff:u fk:u fu:u kk:k ku:u uu:u sw:R fw:. kw:. uw:. ww:.
one_failed: ss:k sf:R sk:k su:R ff:R fk:R fu:R kk:k ku:R uu:R sw:. fw:R kw:. uw:R ww:.
one_done: ss:R sf:R sk:R su:R ff:R fk:R fu:R kk:k ku:k uu:k sw:R fw:R kw:. uw:. ww:.
none_failed: ss:R sf:u sk:R su:u ff:u fk:u fu:u kk:R ku:u uu:u sw:. fw:. kw:. uw:. ww:.
none_failed_min_one_success: ss:R sf:u sk:R su:u ff:u fk:u fu:u kk:k ku:u uu:u sw:. fw:. kw:. uw:. ww:.
none_skipped: ss:R sf:R sk:k su:R ff:R fk:k fu:R kk:k ku:k uu:R sw:. fw:. kw:. uw:. ww:.
always: ss:R sf:R sk:R su:R ff:R fk:R fu:R kk:R ku:R uu:R sw:R fw:R kw:R uw:R ww:R
"
        );
    }

    #[test]
    fn a_task_without_upstreams_runs_whatever_its_rule() {
        for rule in TriggerRule::ALL {
            assert_eq!(evaluate(rule, Tally::default()), Verdict::Run, "{rule}");
        }
    }
}
