//! Shared controls: circuit breakers, rate limits, idempotency keys; what the project says of them and
//! what a task does.

use cauce_model::control::{
    BREAKER_THRESHOLD_MAX, BreakerSettings, OnDuplicate, OnOpen, RateSettings, TOKENS_MAX,
};
use cauce_template::Template;

use crate::shape::{Name, Seconds, record};

record! {
    /// Idempotency: when an earlier result is used again.
    pub struct Idempotency (short "key") {
        /// Key: what makes two requests of this task the same one.
        key: Template;
        /// Time to live: how long a result counts.
        ttl: Seconds = Seconds(86_400), within 60..=31_536_000;
        /// On duplicate: what happens when the key is known.
        on_duplicate: OnDuplicate = OnDuplicate::Reuse;
    }
}

record! {
    /// Breaker: the circuit breaker that a task stands behind.
    pub struct BreakerUse (short "name") {
        /// Name: under `breakers` of the project file.
        name: Name;
        /// On open: what happens while it is open.
        on_open: OnOpen = OnOpen::Wait;
    }
}

record! {
    /// Rate limit: what an attempt takes.
    pub struct RateLimitUse (short "name") {
        /// Name: under `rate_limits` of the project file.
        name: Name;
        /// Tokens: how many it takes.
        tokens: u32 = 1, within 1..=TOKENS_MAX;
    }
}

record! {
    /// Breaker: when a circuit breaker opens and closes.
    pub struct Breaker {
        /// Threshold: so many failures open it.
        threshold: u32, within 1..=BREAKER_THRESHOLD_MAX;
        /// Window: within this time.
        window: Seconds, within 1..=604_800;
        /// Reset after: the time until one attempt is let through.
        reset_after: Seconds, within 1..=604_800;
        /// Description: what it stands for.
        description: Option<String> = None;
    }
}

impl Breaker {
    /// Its figures, as the store has them.
    pub const fn settings(&self) -> BreakerSettings {
        BreakerSettings {
            threshold: self.threshold,
            window_seconds: self.window.0,
            reset_seconds: self.reset_after.0,
        }
    }
}

record! {
    /// Rate limit: so many tokens in so much time.
    pub struct RateLimit {
        /// Tokens: how many.
        tokens: u32, within 1..=TOKENS_MAX;
        /// Per: in how much time.
        per: Seconds, within 1..=2_592_000;
        /// Burst: so many of them at one moment after a pause; with more than 1, a stretch of that time may see so many more.
        burst: u32 = 1, within 1..=TOKENS_MAX;
        /// Description: what it stands for.
        description: Option<String> = None;
    }
}

impl RateLimit {
    /// Its figures, as the store has them.
    pub const fn settings(&self) -> RateSettings {
        RateSettings { tokens: self.tokens, per_seconds: self.per.0, burst: self.burst }
    }
}
