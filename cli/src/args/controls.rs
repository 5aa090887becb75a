//! Arguments about breakers, rate limits and idempotency keys.

use cauce_model::control::TOKENS_MAX;
use clap::{Args, Subcommand};

/// `cauce breakers`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BreakersArgs {
    #[command(subcommand)]
    pub(crate) step: Option<BreakerStep>,
}

/// The steps of `cauce breakers`.
#[derive(Debug, Subcommand)]
pub(crate) enum BreakerStep {
    /// Open a breaker, until somebody resets it.
    Open(BreakerArgs),
    /// Close a breaker, and forget its failures.
    Reset(BreakerArgs),
}

/// `cauce breakers open` and `cauce breakers reset`
#[derive(Debug, Args)]
pub(crate) struct BreakerArgs {
    /// The breaker's name, under `breakers` of cauce.yaml.
    pub(crate) name: String,
}

/// `cauce limits`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LimitsArgs {
    #[command(subcommand)]
    pub(crate) step: Option<LimitsStep>,
}

/// The steps of `cauce limits`.
#[derive(Debug, Subcommand)]
pub(crate) enum LimitsStep {
    /// Take tokens of a rate limit, and wait until they may be used: for calls inside a task.
    Take(TakeArgs),
}

/// `cauce limits take`
#[derive(Debug, Args)]
pub(crate) struct TakeArgs {
    /// The limit's name, under `rate_limits` of cauce.yaml.
    pub(crate) name: String,
    /// How many tokens.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKENS_MAX)))]
    pub(crate) tokens: u32,
    /// Wait for so many seconds at most: where the turn comes later, take nothing and end with 1.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Do not wait: print when they may be used.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `cauce idempotency`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct IdempotencyArgs {
    #[command(subcommand)]
    pub(crate) step: Option<IdempotencyStep>,
    /// Only keys claimed at or after this moment or date [default: 7 days ago].
    #[arg(long, value_name = "D")]
    pub(crate) since: Option<String>,
    /// Only those of this pipeline.
    #[arg(long, value_name = "P")]
    pub(crate) pipeline: Option<String>,
}

/// The steps of `cauce idempotency`.
#[derive(Debug, Subcommand)]
pub(crate) enum IdempotencyStep {
    /// Show one key: who claimed it, and what came of it.
    Show(KeyArgs),
    /// Forget a key: the next request under it runs.
    Clear(KeyArgs),
}

/// `cauce idempotency show` and `cauce idempotency clear`
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The key, as PIPELINE/TASK/KEY.
    pub(crate) key: String,
}
