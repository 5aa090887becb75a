//! What can be asked on the command line. `docs/reference/cli.md` is generated from this file.

mod controls;

pub(crate) use controls::*;

use std::ffi::OsString;
use std::path::PathBuf;

use cauce_engine::command::CanaryStep;
use cauce_model::event::Became;
use cauce_model::record::CANARY_PERCENT_MAX;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Orchestrates data pipelines: on one machine, and on AWS without a server.
#[derive(Debug, Parser)]
#[command(name = "cauce", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The state folder [default: .cauce beside cauce.yaml].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The environment of cauce.yaml: whose values `${{ env.x }}` reads, and where commands about runs
    /// act. `local` is this machine; `run` and `simulate` are always here.
    #[arg(long, global = true, value_name = "ENV", default_value = "local")]
    pub(crate) env: String,
}

/// The commands, in the order in which a pipeline meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a repository of one's own: a pipeline that runs at once, environments, Terraform, workflows.
    Init(InitArgs),
    /// Check pipeline files and report everything that is wrong.
    Check(CheckArgs),
    /// Show the next ticks of a pipeline and the data that each covers.
    Schedule(ScheduleArgs),
    /// Compile pipelines to plans and state machine definitions.
    Build(BuildArgs),
    /// Draw a pipeline.
    Graph(GraphArgs),
    /// Write a page of documentation for each pipeline, in Markdown.
    Docs(DocsArgs),
    /// Print the JSON Schema of a file, for editors.
    Schema(SchemaArgs),
    /// Run a pipeline on this machine.
    Run(RunArgs),
    /// Run the pipelines of a project for as long as the machine runs: schedules, deadlines, interrupted runs.
    Up(UpArgs),
    /// Start a run of a deployed pipeline: by the running 'cauce up', or there with --env.
    Trigger(TriggerArgs),
    /// Run a pipeline for every data interval of a range of dates.
    Backfill(BackfillArgs),
    /// List the pipelines of the project: next tick, last run. With --env, those that are deployed, and how
    /// the files here stand to them.
    List(ListArgs),
    /// List runs, newest first.
    Runs(RunsArgs),
    /// Show a run and its tasks.
    Show(ShowArgs),
    /// Print the log of a task's attempt.
    Logs(LogsArgs),
    /// Go on with a run whose engine was interrupted; what succeeded stays.
    Resume(ResumeArgs),
    /// Run an ended run again: its failed tasks, or those named.
    Rerun(RerunArgs),
    /// End a run.
    Cancel(CancelArgs),
    /// Say how a task of an ended run ended.
    Mark(MarkArgs),
    /// Say yes to an approval that a run waits for.
    Approve(AnswerArgs),
    /// Say no to an approval that a run waits for.
    Reject(AnswerArgs),
    /// Hold the triggers of a pipeline back.
    Pause(PauseArgs),
    /// Let the triggers of a pipeline start runs again.
    Unpause(PauseArgs),
    /// Make the items of matrices those of their files, without a deployment.
    Sync(SyncArgs),
    /// Look for what nobody told and repair it: dead executions, lost events, programs and slots of the dead.
    /// 'cauce up', and a deployed environment, do it every few minutes by themselves.
    Sweep,
    /// Say why a run, a task or a pipeline is where it is.
    Why(WhyArgs),
    /// Show pools and locks: their slots, who holds them, who waits.
    Pools(PoolsArgs),
    /// Show the circuit breakers of the project; open one, or reset it.
    Breakers(BreakersArgs),
    /// Show the rate limits of the project: what was taken, and when the next start is.
    Limits(LimitsArgs),
    /// Show idempotency keys and their results; have one forgotten.
    Idempotency(IdempotencyArgs),
    /// Show who had what done: runs asked for, cancels, marks, pauses, deployments.
    Audit(AuditArgs),
    /// Show the events that may start runs, and what became of each.
    Triggers(TriggersArgs),
    /// List datasets: who writes each, whom it starts, its last update, and what those who wait still lack.
    Datasets(DatasetsArgs),
    /// Say what a pipeline costs on AWS: forecast, and what its runs of a month took.
    Cost(CostArgs),
    /// Report where the time and the money of a pipeline's runs went, and what stands out; with a run, of that one.
    Report(ReportArgs),
    /// Deploy the pipelines of the project to an environment: checks, build, images, Terraform.
    Deploy(DeployArgs),
    /// Give a deployed pipeline's canary another share of the new runs, promote it, or abort it.
    Canary(CanaryArgs),
    /// Look whether a deployed environment is as it should be; nothing is changed.
    Doctor(DoctorArgs),
    /// Explain an error code, a status or a failure class.
    Explain(ExplainArgs),
    /// Run a pipeline in virtual time with given durations and outcomes; nothing is called.
    Simulate(SimulateArgs),
    /// Work with Amazon States Language alone.
    #[command(subcommand)]
    Asl(AslCommand),
    /// Anything else: a command of a later version, or none.
    #[command(external_subcommand)]
    Later(Vec<OsString>),
}

/// `cauce init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder to make the project in.
    pub(crate) dir: PathBuf,
    /// The repository of cauce that Terraform takes its modules from, such as https://host/owner/cauce.git.
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
}

/// `cauce check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Pipeline files, or folders that hold some.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) paths: Vec<PathBuf>,
}

/// `cauce schedule`
#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    /// Only ticks of this item of the matrix.
    #[arg(long, value_name = "KEY", conflicts_with = "case")]
    pub(crate) item: Option<String>,
    /// Only ticks of this case of the schedule.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// How many ticks to show.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) next: u32,
    /// The moment (RFC 3339) or date after which they are [default: now].
    #[arg(long, value_name = "T")]
    pub(crate) from: Option<String>,
}

/// `cauce build`
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Pipeline files, or folders that hold some.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) paths: Vec<PathBuf>,
    /// Where to write: one folder per pipeline, and `system` for the task machines.
    #[arg(long, value_name = "DIR", default_value = "build")]
    pub(crate) out: PathBuf,
}

/// `cauce docs`
#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// Pipeline files, or folders that hold some.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) paths: Vec<PathBuf>,
    /// Write `<pipeline>.md` for each, and `index.md`, into this folder [default: print them].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `cauce graph`
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The pipeline file; with --datasets, a folder of the project.
    #[arg(required_unless_present = "datasets")]
    pub(crate) file: Option<PathBuf>,
    /// Draw the pipelines of the project and the datasets between them.
    #[arg(long)]
    pub(crate) datasets: bool,
    /// How to draw it.
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
    pub(crate) format: GraphFormat,
}

/// How a graph is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Text that Markdown viewers draw.
    Mermaid,
    /// Text that Graphviz draws.
    Dot,
    /// A picture.
    Svg,
}

/// `cauce schema`
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which file's.
    #[arg(value_enum, default_value_t = SchemaOf::Pipeline)]
    pub(crate) of: SchemaOf,
}

/// Which file a schema describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    /// A pipeline file.
    Pipeline,
    /// The project file, cauce.yaml.
    Project,
}

/// `cauce run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    /// The item of the pipeline's matrix.
    #[arg(long, value_name = "KEY")]
    pub(crate) item: Option<String>,
    /// Run this task alone, whatever its upstreams.
    #[arg(long, value_name = "TASK")]
    pub(crate) only: Option<String>,
    /// A parameter; JSON where its type is not text. Repeatable.
    #[arg(long = "param", value_name = "K=V")]
    pub(crate) params: Vec<String>,
    /// A JSON or YAML file of parameters; --param goes before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) params_file: Option<PathBuf>,
    /// The date (or moment) whose data is processed [default: the newest complete data interval].
    #[arg(long, value_name = "D", conflicts_with = "interval")]
    pub(crate) logical_date: Option<String>,
    /// The half-open range of data, two dates or moments.
    #[arg(long, value_name = "A..B")]
    pub(crate) interval: Option<String>,
    /// Start no task: print each decision, every outcome taken as success.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Outcomes of tasks for --dry-run, as `cauce simulate` takes them.
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub(crate) outcomes: Option<PathBuf>,
    /// Let tasks use this machine's AWS credentials and the real S3.
    #[arg(long)]
    pub(crate) host_credentials: bool,
}

/// `cauce up`
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The project's folder [default: the current one].
    pub(crate) dir: Option<PathBuf>,
    /// Where another one runs already: wait for its end, then take over.
    #[arg(long)]
    pub(crate) standby: bool,
    /// Serve the HTTP interface (API, webhooks, metrics) on this address, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Let tasks reach the real AWS with the caller's credentials.
    #[arg(long)]
    pub(crate) host_credentials: bool,
}

/// `cauce sync`
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The pipeline's name [default: every pipeline of the project that has a matrix].
    pub(crate) pipeline: Option<String>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `cauce trigger`
#[derive(Debug, Args)]
pub(crate) struct TriggerArgs {
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// The item of the pipeline's matrix.
    #[arg(long, value_name = "KEY")]
    pub(crate) item: Option<String>,
    /// Run this task alone, whatever its upstreams.
    #[arg(long, value_name = "TASK")]
    pub(crate) only: Option<String>,
    /// A parameter; JSON where its type is not text. Repeatable.
    #[arg(long = "param", value_name = "K=V")]
    pub(crate) params: Vec<String>,
    /// A JSON file of parameters; --param goes before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) params_file: Option<PathBuf>,
    /// The date (or moment) whose data is processed [default: the newest complete data interval].
    #[arg(long, value_name = "D", conflicts_with = "interval")]
    pub(crate) logical_date: Option<String>,
    /// The half-open range of data, two dates or moments.
    #[arg(long, value_name = "A..B")]
    pub(crate) interval: Option<String>,
    /// If that run has ended before: its next generation, with all tasks.
    #[arg(long)]
    pub(crate) again: bool,
    /// On the pipeline's canary, whatever its share.
    #[arg(long)]
    pub(crate) canary: bool,
    /// Watch the run until it has ended; the exit code tells how.
    #[arg(long, visible_alias = "follow")]
    pub(crate) wait: bool,
}

/// `cauce backfill`
#[derive(Debug, Args)]
pub(crate) struct BackfillArgs {
    /// The pipeline file, or the name of a pipeline of this project.
    #[arg(value_name = "FILE|PIPELINE")]
    pub(crate) pipeline: String,
    /// The item of the pipeline's matrix. Repeatable.
    #[arg(long = "item", value_name = "KEY")]
    pub(crate) items: Vec<String>,
    /// The first date.
    #[arg(long, value_name = "D")]
    pub(crate) from: String,
    /// The last date.
    #[arg(long, value_name = "D")]
    pub(crate) to: String,
    /// Which runs that exist to run again.
    #[arg(long, value_enum, default_value_t = ExistingRuns::Failed)]
    pub(crate) existing: ExistingRuns,
    /// Runs at once [default: the pipeline's max_active_runs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_active: Option<u32>,
    /// Newest first.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// A parameter of every run. Repeatable.
    #[arg(long = "param", value_name = "K=V")]
    pub(crate) params: Vec<String>,
    /// Print what would run, and run nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// In a deployed environment: watch the runs until all have ended; the exit code tells how.
    #[arg(long, visible_alias = "follow")]
    pub(crate) wait: bool,
    /// Let tasks use this machine's AWS credentials and the real S3.
    #[arg(long)]
    pub(crate) host_credentials: bool,
}

/// Which runs that exist a backfill runs again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ExistingRuns {
    /// None of them.
    Skip,
    /// Those that did not succeed, from their failed tasks.
    Failed,
    /// All of them, with all tasks.
    All,
}

/// `cauce list`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {}

/// `cauce runs`
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only this pipeline's.
    #[arg(long, value_name = "P")]
    pub(crate) pipeline: Option<String>,
    /// Only those of this item of a matrix.
    #[arg(long, value_name = "KEY")]
    pub(crate) item: Option<String>,
    /// Only those in this status.
    #[arg(long, value_enum, value_name = "S")]
    pub(crate) status: Option<RunStatusArg>,
    /// Only those created at or after this moment or date.
    #[arg(long, value_name = "D")]
    pub(crate) since: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// A run's status on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum RunStatusArg {
    Queued,
    Running,
    Success,
    Failed,
    Skipped,
    Cancelled,
}

/// `cauce show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
}

/// `cauce logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
    /// The task.
    pub(crate) task: String,
    /// The attempt [default: the last].
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// The item of a mapped task.
    #[arg(long, value_name = "N")]
    pub(crate) item: Option<u32>,
    /// Go on until the task ends.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// `cauce resume`
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
    /// Let tasks use this machine's AWS credentials and the real S3.
    #[arg(long)]
    pub(crate) host_credentials: bool,
}

/// `cauce rerun`
#[derive(Debug, Args)]
pub(crate) struct RerunArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
    /// Run this task again [default: all that did not succeed, and what is below them].
    #[arg(long, value_name = "TASK", conflicts_with = "only")]
    pub(crate) task: Option<String>,
    /// Of a mapped task run these items again and leave the others as they are: 3, or 3,5.
    #[arg(long, value_name = "INDEX", requires = "task", conflicts_with = "only", value_delimiter = ',')]
    pub(crate) item: Vec<u32>,
    /// With everything below it.
    #[arg(long, requires = "task", conflicts_with = "only")]
    pub(crate) downstream: bool,
    /// Run this task alone, whatever its upstreams.
    #[arg(long, value_name = "TASK")]
    pub(crate) only: Option<String>,
    /// On the pipeline as its file stands now, not on the version of the run.
    #[arg(long)]
    pub(crate) latest_version: bool,
    /// Run tasks that a branch skips all the same.
    #[arg(long)]
    pub(crate) force: bool,
    /// In a deployed environment: watch the run until it has ended; the exit code tells how.
    #[arg(long, visible_alias = "follow")]
    pub(crate) wait: bool,
    /// Let tasks use this machine's AWS credentials and the real S3.
    #[arg(long)]
    pub(crate) host_credentials: bool,
}

/// `cauce cancel`
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `cauce mark`
#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
    /// The task.
    pub(crate) task: String,
    /// How it ended.
    #[arg(value_enum)]
    pub(crate) as_status: MarkAs,
}

/// `cauce approve` and `cauce reject`
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has.
    pub(crate) run: String,
    /// The task.
    pub(crate) task: String,
    /// What you say of it, for the record and for the tasks below.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// How a person says that a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum MarkAs {
    /// Well.
    Success,
    /// Badly.
    Failed,
}

/// `cauce pause` and `cauce unpause`
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The pipeline's name.
    pub(crate) pipeline: String,
}

/// `cauce why`
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// pipeline/run_id, pipeline/@latest, or a run_id that only one pipeline has; or a pipeline: why it starts nothing.
    pub(crate) run: String,
    /// The task [default: every task that waits, is under way or ended badly].
    pub(crate) task: Option<String>,
}

/// `cauce pools`
#[derive(Debug, Args)]
pub(crate) struct PoolsArgs {
    /// One pool, such as sftp, lock:NAME, active:PIPELINE or run:PIPELINE [default: those of cauce.yaml and those in use].
    pub(crate) name: Option<String>,
}

/// `cauce audit`
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only what was done at or after this moment or date [default: 7 days ago].
    #[arg(long, value_name = "D")]
    pub(crate) since: Option<String>,
    /// Only what concerns this pipeline.
    #[arg(long, value_name = "P")]
    pub(crate) pipeline: Option<String>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// `cauce triggers`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TriggersArgs {
    #[command(subcommand)]
    pub(crate) step: Option<TriggersStep>,
    /// Only events at or after this moment or date [default: 7 days ago].
    #[arg(long, value_name = "D")]
    pub(crate) since: Option<String>,
    /// Only those of this pipeline.
    #[arg(long, value_name = "P")]
    pub(crate) pipeline: Option<String>,
    /// Only those that became this: run, duplicate, stale, paused, closed, waiting, incomplete, missed, rejected.
    #[arg(long, value_name = "WHAT", value_parser = became)]
    pub(crate) became: Option<Became>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// What `cauce triggers` does besides showing.
#[derive(Debug, Subcommand)]
pub(crate) enum TriggersStep {
    /// Look into the buckets of a pipeline's file triggers, and treat what nobody told of, and what was paused or
    /// rejected, as arrived now.
    Scan(ScanArgs),
}

/// `cauce datasets`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    pub(crate) step: Option<DatasetsStep>,
    /// Only this one.
    pub(crate) name: Option<String>,
}

/// The steps of `cauce datasets`.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetsStep {
    /// Say that something outside has written a dataset: whom it starts is started.
    Update(UpdateArgs),
}

/// `cauce datasets update`
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The dataset's name.
    pub(crate) name: String,
    /// The day of the data, such as 1997-01-05.
    #[arg(long, value_name = "DAY")]
    pub(crate) partition: Option<String>,
}

/// `cauce triggers scan`
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// Show the files that fit and stop there.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn became(text: &str) -> Result<Became, String> {
    let words = Became::ALL.map(Became::as_str);
    let found = Became::ALL.into_iter().find(|became| became.as_str() == text);
    found.ok_or_else(|| format!("write one of {}", words.join(", ")))
}

/// `cauce cost`
#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// A pipeline's file or name [default: all pipelines of the project].
    #[arg(value_name = "FILE|PIPELINE")]
    pub(crate) pipeline: Option<String>,
    /// The month whose runs are counted, such as 1997-01 [default: the present one].
    #[arg(long, value_name = "MONTH")]
    pub(crate) month: Option<String>,
}

/// `cauce report`
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The pipeline.
    pub(crate) pipeline: String,
    /// One run of it: its critical path, and what each task did.
    pub(crate) run: Option<String>,
    /// How many of its newest ended runs are counted.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "run")]
    pub(crate) last: u32,
    /// All runs that were created from this date or moment on are counted instead.
    #[arg(long, value_name = "DATE", conflicts_with_all = ["last", "run"])]
    pub(crate) since: Option<String>,
}

/// `cauce deploy`
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Stop after the plan: nothing is changed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// The folder of the functions' packages [default: what cauce.yaml names, else functions beside it].
    #[arg(long, value_name = "DIR")]
    pub(crate) functions: Option<PathBuf>,
    /// Build and push no images.
    #[arg(long)]
    pub(crate) skip_images: bool,
    /// Deploy the build before the last one that was deployed from this machine.
    #[arg(long)]
    pub(crate) rollback: bool,
    /// As canaries: of each changed pipeline's new runs so many of a hundred take it, 0 to 99.
    #[arg(long, value_name = "PERCENT", conflicts_with = "rollback", value_parser = percent)]
    pub(crate) canary: Option<u8>,
    /// Wait so long for a deployment of somebody else to end, such as 10m [default: not at all].
    #[arg(long, value_name = "DURATION", value_parser = lock_timeout)]
    pub(crate) lock_timeout: Option<String>,
}

/// A duration as Terraform reads it: a number and s, m or h.
fn lock_timeout(text: &str) -> Result<String, String> {
    let number = text.strip_suffix(['s', 'm', 'h']).filter(|number| !number.is_empty());
    match number {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => Ok(text.to_owned()),
        _ => Err("write a number and s, m or h, such as 10m".to_owned()),
    }
}

/// A canary's share.
fn percent(text: &str) -> Result<u8, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    percent
        .filter(|percent| *percent <= CANARY_PERCENT_MAX)
        .ok_or_else(|| format!("write a whole number from 0 to {CANARY_PERCENT_MAX}"))
}

/// `cauce canary`
#[derive(Debug, Args)]
pub(crate) struct CanaryArgs {
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// 'promote': all new runs take it; 'abort': none does; a number: so many of a hundred, 0 to 99.
    #[arg(value_name = "promote|abort|PERCENT", value_parser = canary_step)]
    pub(crate) step: CanaryStep,
}

fn canary_step(text: &str) -> Result<CanaryStep, String> {
    match text {
        "promote" => Ok(CanaryStep::Promote),
        "abort" => Ok(CanaryStep::Abort),
        share => percent(share)
            .map(CanaryStep::Share)
            .map_err(|_| format!("write promote, abort, or a whole number from 0 to {CANARY_PERCENT_MAX}")),
    }
}

/// `cauce doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {}

/// `cauce explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A code such as C204, a status or a failure class.
    pub(crate) code: String,
}

/// `cauce simulate`
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    /// A JSON file {task: seconds or [per attempt]}; tasks that are not in it take none.
    #[arg(long, value_name = "FILE")]
    pub(crate) durations: Option<PathBuf>,
    /// A JSON file {task: "success" | "failed" | exit code | {status, exit_code, class, output}, or a list
    /// per attempt}.
    #[arg(long, value_name = "FILE")]
    pub(crate) outcomes: Option<PathBuf>,
    /// A parameter. Repeatable.
    #[arg(long = "param", value_name = "K=V")]
    pub(crate) params: Vec<String>,
    /// The date (or moment) whose data is processed.
    #[arg(long, value_name = "D")]
    pub(crate) logical_date: Option<String>,
}

/// Commands of Amazon States Language alone.
#[derive(Debug, Subcommand)]
pub(crate) enum AslCommand {
    /// Run a definition with recorded replies, in virtual time.
    Run(AslRunArgs),
    /// Check a definition as Step Functions would.
    Check(AslCheckArgs),
    /// Run one state by itself, as the TestState API does; nothing is called.
    TestState(AslTestStateArgs),
    /// Anything else: a command of a later version, or none.
    #[command(external_subcommand)]
    Later(Vec<OsString>),
}

/// `cauce asl run`
#[derive(Debug, Args)]
pub(crate) struct AslRunArgs {
    /// The definition's file.
    pub(crate) definition: PathBuf,
    /// The input: JSON, or a file of it (@FILE or a path) [default: {}].
    #[arg(long, value_name = "I")]
    pub(crate) input: Option<String>,
    /// A file of replies: [{after_state, type, output | error, cause}], or {replies, objects}.
    #[arg(long, value_name = "M")]
    pub(crate) mocks: Option<PathBuf>,
}

/// `cauce asl test-state`
#[derive(Debug, Args)]
pub(crate) struct AslTestStateArgs {
    /// The API's request: JSON, or a file of it (@FILE or a path).
    pub(crate) request: String,
}

/// `cauce asl check`
#[derive(Debug, Args)]
pub(crate) struct AslCheckArgs {
    /// The definition's file.
    pub(crate) definition: PathBuf,
}
