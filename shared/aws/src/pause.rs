//! Pauses between tries, for the few repeats that the SDK cannot make by itself.

use std::time::Duration;

/// Before chance shortens it: how long the first pause is.
const FIRST: Duration = Duration::from_millis(25);

/// Before chance shortens it: how long a pause is at most.
const MAX: Duration = Duration::from_millis(800);

/// Waits before the n-th repeat (from 1): a random part of a pause that doubles, so that those who
/// met once do not meet again.
/// <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>
pub(crate) async fn before_repeat(number: u32) {
    #[expect(clippy::disallowed_methods, reason = "the pauses of repeated calls to AWS, made here only")]
    tokio::time::sleep(length(number, chance())).await;
}

/// The length of a pause; `chance` out of `u32::MAX` of its greatest length.
fn length(number: u32, chance: u32) -> Duration {
    let longest = FIRST.saturating_mul(1 << number.saturating_sub(1).min(16)).min(MAX);
    longest.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness, half of the pause is still a pause.
    match getrandom::fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => u32::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        assert_eq!(length(1, 0), Duration::ZERO);
        assert_eq!(length(1, u32::MAX), Duration::from_millis(25));
        assert_eq!(length(3, u32::MAX), Duration::from_millis(100));
        assert_eq!(length(40, u32::MAX), MAX);
    }
}
