//! Which seeds a test tries, and how one that fails is tried again.

/// The seeds of a test: those that `CAUCE_SEEDS` says (`2000`: from 0 on as many; `2000..3000`: a stretch, so
/// that a long search can go on where one ended), or as many as its own default; or the one that `CAUCE_SEED`
/// names. The test's name stands in the command that tries a failing seed again.
#[expect(clippy::disallowed_methods, reason = "a test reads how much it is to do")]
pub(crate) fn of(test: &'static str, default: u64) -> impl Iterator<Item = u64> {
    let range = match (std::env::var("CAUCE_SEED"), std::env::var("CAUCE_SEEDS")) {
        (Ok(seed), _) if !seed.is_empty() => {
            let seed = number(&seed);
            seed..seed + 1
        }
        (_, Ok(seeds)) if !seeds.is_empty() => match seeds.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&seeds),
        },
        _ => 0..default,
    };
    let mut trying = Trying { test, seed: None };
    range.inspect(move |seed| trying.on(*seed))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("a number of seeds: {text}"))
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
