//! Which seeds a test tries, and how one that fails is tried again.

/// The seeds of a test: from 0 on as many as `CAUCE_SEEDS` says, or its own default; or the one that
/// `CAUCE_SEED` names. The test's name stands in the command that tries a failing seed again.
#[expect(clippy::disallowed_methods, reason = "a test reads how much it is to do")]
pub(crate) fn of(test: &'static str, default: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let range = match number("CAUCE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CAUCE_SEEDS").unwrap_or(default),
    };
    let mut trying = Trying { test, seed: None };
    range.inspect(move |seed| trying.on(*seed))
}

/// Says how to try a seed again when the test ends in the middle of it.
struct Trying {
    test: &'static str,
    seed: Option<u64>,
}

impl Trying {
    const fn on(&mut self, seed: u64) {
        self.seed = Some(seed);
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        if let (true, Some(seed)) = (std::thread::panicking(), self.seed) {
            eprintln!("again: make sim SEED={seed} TEST={}", self.test);
        }
    }
}
