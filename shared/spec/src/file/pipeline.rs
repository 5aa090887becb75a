//! The file as a whole: [`Pipeline`].

use cauce_model::params::ParamSpec;
use cauce_model::plan::{Catchup, DeadlineAction, DeadlineFrom, DstGap, Overlap};
use indexmap::IndexMap;

use crate::file::matrix::Matrix;
use crate::file::task::{Defaults, Task};
use crate::file::trigger::Trigger;
use crate::shape::{Cron, Moment, Name, Offset, Seconds, Stretch, TimeZoneName, Weekdays, choice, record};

record! {
    /// Pipeline file: one pipeline, its settings and its tasks.
    pub struct Pipeline {
        /// Name: the pipeline's name, unique in the project.
        name as "pipeline": Name;
        /// Description: one sentence for lists and the console.
        description: Option<String> = None;
        /// Owner: the team or person to ask.
        owner: Option<String> = None;
        /// Documentation: longer text, in Markdown.
        docs: Option<String> = None;
        /// Tags: words to filter by.
        tags: Vec<String> = Vec::new();
        /// Paused: whether schedules and triggers start nothing for now.
        paused: bool = false;
        /// Schedule: when runs start by the clock; several schedules may stand in a list.
        schedule: Vec<Schedule> = Vec::new();
        /// Triggers: events that start a run.
        triggers: Vec<Trigger> = Vec::new();
        /// Active runs: how many runs may be under way at once; further ones are queued.
        max_active_runs: u32 = 16, within 1..=1000;
        /// Active tasks: how many tasks of this pipeline may run at once, over all its runs.
        max_active_tasks: Option<u32> = None, within 1..=10_000;
        /// Failed runs: the pipeline is paused after so many runs that failed one after the other.
        max_consecutive_failed_runs: Option<u32> = None, within 1..=100;
        /// Overlap: what a new run does when the active runs are at their limit.
        overlap: Overlap = Overlap::Queue;
        /// Deadline: how long a run may take before somebody is told or it is cancelled.
        deadline: Option<Deadline> = None;
        /// Notifications: which channels hear of what.
        notify: Notifications = Notifications::default();
        /// Parameters: the values a run takes, with their types.
        params: IndexMap<Name, ParamSpec> = IndexMap::new();
        /// Defaults: settings merged into every task, key by key; a task's own value wins.
        defaults: Defaults = Defaults::default();
        /// Matrix: one series of runs per item of a list.
        matrix: Option<Matrix> = None;
        /// Uses: the template that this pipeline fills in.
        uses: Option<Name> = None => later;
        /// With: the values for that template.
        with: IndexMap<Name, serde_json::Value> = IndexMap::new() => later;
        /// Tasks: what is done, by name.
        tasks: IndexMap<Name, Task>;
    }
}

record! {
    /// Schedule: one of cron, rate and at, and how its ticks are read. A string is a cron expression.
    pub struct Schedule (short "cron") {
        /// Cron: five fields of Unix cron, or a preset such as `@daily`.
        cron: Option<Cron> = None;
        /// Rate: a tick every so often, counted from 1970-01-01T00:00:00Z.
        rate: Option<Seconds> = None, within 60..=31_536_000;
        /// At: one tick at this moment.
        at: Option<Moment> = None;
        /// Time zone: the zone in which cron and the logical date are read.
        timezone: TimeZoneName = TimeZoneName::utc();
        /// Data interval: whether a run covers the interval before its tick, or the tick alone.
        data_interval: DataInterval = DataInterval::Previous;
        /// Catch-up: which missed ticks are made up for: none, last, all, or the newest so many.
        catchup: Catchup = Catchup::default();
        /// Start: no tick before this moment.
        start: Option<Moment> = None;
        /// End: no tick from this moment on.
        end: Option<Moment> = None;
        /// Gap: what becomes of a local time that a clock change skips.
        dst_gap: DstGap = DstGap::default();
        /// Open: a tick so much later than each opening of the calendar; `-30m` is before it.
        open: Option<Offset> = None;
        /// Close: a tick so much later than each closing of the calendar.
        close: Option<Offset> = None;
        /// Calendar: the calendar of the project file on whose days runs happen.
        calendar: Option<Name> = None;
        /// Calendar filter: whether the calendar filters the data day or the time of firing.
        calendar_filters: CalendarFilter = CalendarFilter::DataDay;
        /// Jitter: runs start up to so much later than their ticks, each pipeline by its own time, so that not all start at once.
        jitter: Option<Seconds> = None, within 60..=86_400;
        /// Off-peak: the only hours in which runs start; the run of a tick outside them waits for the next.
        off_peak: Option<OffPeak> = None;
        /// Select: the column of the matrix that chooses a schedule.
        select: Option<Name> = None;
        /// Cases: a schedule for each value of that column; what stands beside them goes for each.
        cases: IndexMap<Name, Schedule> = IndexMap::new();
    }
}

record! {
    /// Off-peak: hours of the schedule's time zone in which its runs start. A stretch alone is `hours`.
    pub struct OffPeak (short "hours") {
        /// Hours: from when to when, such as `22:00-06:00`, which goes over midnight.
        hours: Stretch;
        /// All day: days of the week that are off-peak as a whole.
        all_day: Weekdays = Weekdays(std::collections::BTreeSet::new());
    }
}

choice! {
    /// Data interval: which data a scheduled run covers.
    pub enum DataInterval {
        /// From the tick before to this tick; the logical date is its start.
        Previous = "previous";
        /// None: the logical date is the tick itself.
        None = "none";
    }
}

choice! {
    /// Calendar filter: what the calendar is asked about.
    pub enum CalendarFilter {
        /// The first day of the data interval.
        DataDay = "data_day";
        /// The moment of firing.
        FireTime = "fire_time";
    }
}

record! {
    /// Deadline: when a run is late, and what then. A duration alone is `after`.
    pub struct Deadline (short "after") {
        /// After: how long a run may take.
        after: Seconds, within 1..=31_536_000;
        /// From: what the time is counted from.
        from: DeadlineFrom = DeadlineFrom::default();
        /// Action: what happens when it passes.
        action: DeadlineAction = DeadlineAction::default();
    }
}

record! {
    /// Notifications: channel names by what is told.
    #[derive(Default)]
    pub struct Notifications {
        /// Success: the run, or the task, succeeded.
        success: Vec<Name> = Vec::new();
        /// Failed: the run, or the task, failed.
        failed: Vec<Name> = Vec::new();
        /// Retrying: an attempt failed and another follows.
        retrying: Vec<Name> = Vec::new();
        /// Deadline: the deadline passed.
        deadline: Vec<Name> = Vec::new();
    }
}
