//! What a run and a task run can be, and which change is allowed: a lifecycle is a table.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Written, not yet let in by `max_active_runs`.
    Queued,
    /// Let in.
    Running,
    /// Ended; nothing that counts failed.
    Success,
    /// Ended; something that counts failed.
    Failed,
    /// Ended; every task was skipped.
    Skipped,
    /// Stopped by a person or a deadline.
    Cancelled,
}

impl RunStatus {
    /// Whether the generation is over.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether a generation may go from this status to `next`. A later generation starts anew at
    /// `Queued`, from any terminal status.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => !matches!(next, Self::Queued),
            Self::Running => next.is_terminal(),
            _ => matches!(next, Self::Queued),
        }
    }

    /// The word shown and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a task run (or one item of a mapped one) is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Not yet decided: an upstream has not ended.
    Waiting,
    /// Decided to run, without its slots.
    Queued,
    /// An attempt is on its way.
    Running,
    /// An attempt failed; the next one waits for its delay.
    Retrying,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Its rule, its `if` or a branch said no.
    Skipped,
    /// Its rule cannot be met because of a failure above.
    UpstreamFailed,
    /// Stopped with its run.
    Cancelled,
}

impl TaskStatus {
    /// Whether the task run is over for its generation.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Skipped | Self::UpstreamFailed | Self::Cancelled)
    }

    /// Whether a task run may go from this status to `next` inside one generation.
    pub const fn may_become(self, next: Self) -> bool {
        use TaskStatus::{
            Cancelled, Failed, Queued, Retrying, Running, Skipped, Success, UpstreamFailed, Waiting,
        };
        match self {
            Waiting => !matches!(next, Waiting | Retrying),
            Queued => matches!(next, Running | Success | Failed | Skipped | UpstreamFailed | Cancelled),
            Running => matches!(next, Success | Failed | Skipped | Retrying | Cancelled),
            Retrying => matches!(next, Queued | Running | Failed | Success | Skipped | Cancelled),
            Success | Failed | Skipped | UpstreamFailed | Cancelled => false,
        }
    }

    /// The word shown and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Every status, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Success,
        Self::Failed,
        Self::Skipped,
        Self::UpstreamFailed,
        Self::Cancelled,
    ];

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an attempt failed. The order in which a failure is classified is `engine`'s.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Fargate Spot took the capacity back.
    SpotInterruption,
    /// The platform announced the end of the task.
    TerminationNotice,
    /// Somebody stopped the task.
    UserInitiated,
    /// No capacity to start on.
    Capacity,
    /// The platform refused because of its rates.
    Throttled,
    /// The image or program does not exist.
    ImageMissing,
    /// The image could not be fetched.
    ImagePull,
    /// A resource the task needs to start (network, secret, volume) could not be prepared.
    ResourceInit,
    /// The task used more memory than it has.
    OutOfMemory,
    /// Ended by SIGKILL, without a reason.
    Killed,
    /// The task's own exit code says so.
    Exit,
    /// Over its time.
    Timeout,
    /// No sign of life in time.
    Heartbeat,
    /// Its execution was stopped or died.
    Aborted,
    /// A dependency's circuit breaker is open.
    Dependency,
    /// A person said no.
    Rejected,
    /// What was asked cannot work: a bad template value, an output over its limit.
    Config,
    /// None of the others.
    Unknown,
}

impl FailureClass {
    /// Every class, in the order of the glossary.
    pub const ALL: [Self; 18] = [
        Self::SpotInterruption,
        Self::TerminationNotice,
        Self::UserInitiated,
        Self::Capacity,
        Self::Throttled,
        Self::ImageMissing,
        Self::ImagePull,
        Self::ResourceInit,
        Self::OutOfMemory,
        Self::Killed,
        Self::Exit,
        Self::Timeout,
        Self::Heartbeat,
        Self::Aborted,
        Self::Dependency,
        Self::Rejected,
        Self::Config,
        Self::Unknown,
    ];

    /// The word shown and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpotInterruption => "spot_interruption",
            Self::TerminationNotice => "termination_notice",
            Self::UserInitiated => "user_initiated",
            Self::Capacity => "capacity",
            Self::Throttled => "throttled",
            Self::ImageMissing => "image_missing",
            Self::ImagePull => "image_pull",
            Self::ResourceInit => "resource_init",
            Self::OutOfMemory => "out_of_memory",
            Self::Killed => "killed",
            Self::Exit => "exit",
            Self::Timeout => "timeout",
            Self::Heartbeat => "heartbeat",
            Self::Aborted => "aborted",
            Self::Dependency => "dependency",
            Self::Rejected => "rejected",
            Self::Config => "config",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }

    /// What a program's end is told as by whoever has ended it because it was over its time, as `timeout` of
    /// coreutils tells it. A program may end with the same code for reasons of its own.
    pub const OVER_TIME_CODE: i32 = 124;

    /// Whether the user's program never started, so that starting again cannot do its work twice.
    pub const fn never_started(self) -> bool {
        matches!(
            self,
            Self::Capacity | Self::Throttled | Self::ImagePull | Self::ResourceInit | Self::ImageMissing
        )
    }

    /// Whether the failure is the platform's, charged to the infrastructure budget.
    pub const fn is_infrastructure(self) -> bool {
        matches!(
            self,
            Self::SpotInterruption
                | Self::TerminationNotice
                | Self::Capacity
                | Self::Throttled
                | Self::ImagePull
                | Self::ResourceInit
        )
    }

    /// Whether a program of the attempt may still run: whoever waited for it stopped waiting.
    pub const fn may_outlive(self) -> bool {
        matches!(self, Self::Timeout | Self::Heartbeat | Self::Aborted | Self::UserInitiated | Self::Unknown)
    }

    /// Whether another attempt can never help.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::ImageMissing | Self::Config | Self::Rejected)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a run exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A tick of the schedule.
    Schedule,
    /// A file that arrived.
    File,
    /// A dataset that changed.
    Dataset,
    /// A signed HTTP request.
    Webhook,
    /// A person or another pipeline.
    Manual,
    /// A range of past data intervals.
    Backfill,
}

impl TriggerKind {
    /// The word shown and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::File => "file",
            Self::Dataset => "dataset",
            Self::Webhook => "webhook",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifecycle_of_a_task_run() {
        let mut table = String::new();
        for from in TaskStatus::ALL {
            let to: Vec<_> = TaskStatus::ALL
                .into_iter()
                .filter(|to| from.may_become(*to))
                .map(TaskStatus::as_str)
                .collect();
            table.push_str(&format!("{from} -> {}\n", to.join(" ")));
        }
        assert_eq!(
            table,
            "waiting -> queued running success failed skipped upstream_failed cancelled\n\
             queued -> running success failed skipped upstream_failed cancelled\n\
             running -> retrying success failed skipped cancelled\n\
             retrying -> queued running success failed skipped cancelled\n\
             success -> \nfailed -> \nskipped -> \nupstream_failed -> \ncancelled -> \n"
        );
    }

    #[test]
    fn a_terminal_run_only_begins_anew() {
        for from in [RunStatus::Success, RunStatus::Failed, RunStatus::Skipped, RunStatus::Cancelled] {
            assert!(from.may_become(RunStatus::Queued) && !from.may_become(RunStatus::Running));
        }
    }

    #[test]
    fn words_are_read_back() {
        for class in FailureClass::ALL {
            assert_eq!(FailureClass::parse(class.as_str()), Some(class));
        }
        for status in TaskStatus::ALL {
            assert_eq!(TaskStatus::parse(status.as_str()), Some(status));
        }
    }
}
