//! ULIDs: 48 bits of the moment in milliseconds, 80 bits of chance.

use cauce_model::Instant;
use cauce_ports::Ids;
use std::io;
use std::sync::{Mutex, PoisonError};
use ulid::Ulid;

/// ULIDs from the system's randomness. Each is greater than the one before, also within one
/// millisecond and when the moments given go back.
#[derive(Debug)]
pub struct UlidIds {
    last: Mutex<Ulid>,
}

impl UlidIds {
    /// A source of ids.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new() -> io::Result<Self> {
        // Its time is the epoch, so that the first moment asked for is later.
        Ok(Self { last: Mutex::new(Ulid::from_parts(0, random()?)) })
    }
}

impl Ids for UlidIds {
    fn ulid(&self, now: Instant) -> String {
        let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if millis > last.timestamp_ms() {
            // Randomness that was there once and fails later is unheard of; the bits of the last id
            // keep this one as unlike those of other processes.
            let bits = random().unwrap_or_else(|_| last.random());
            Ulid::from_parts(millis, bits)
        } else {
            // Past the last of a millisecond's 2^80 ids comes the next millisecond.
            last.increment().unwrap_or_else(|_| Ulid::from_parts(last.timestamp_ms() + 1, 0))
        };
        last.to_string()
    }
}

/// 80 bits of chance.
fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes[6..]).map_err(io::Error::other)?;
    Ok(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_within_a_millisecond_and_when_time_goes_back() {
        let ids = UlidIds::new().unwrap();
        let moments = [1_000_000, 1_000_000, 1_000_400, 500_000, 2_000_000];
        let made: Vec<String> =
            moments.iter().map(|micros| ids.ulid(Instant::from_micros(*micros))).collect();
        assert!(made.is_sorted(), "{made:?}");
        assert!(made.windows(2).all(|pair| pair[0] != pair[1]), "{made:?}");
        assert!(made.iter().all(|id| id.len() == 26), "{made:?}");
    }

    #[test]
    fn two_sources_never_agree() {
        let at = Instant::from_micros(1_700_000_000_000_000);
        assert_ne!(UlidIds::new().unwrap().ulid(at), UlidIds::new().unwrap().ulid(at));
    }
}
