//! Whatever the bytes are: what each reader of foreign bytes promises, as a function that panics where
//! the promise is broken.
//!
//! A fuzzer searches for such bytes with these functions (`fuzz/`, `make fuzz`); the test `replay` calls
//! them with all that fuzzers have kept. Where an input has several parts, lines of [`CUT`] stand
//! between them.
//!
//! It never reads a clock, a file or an environment: equal bytes do equal things.
//! Start reading at [`TARGETS`].

mod events;
mod expressions;
mod files;
mod machines;
mod paths;
mod records;
mod schedules;
mod templates;
mod webhooks;

/// A name, which is that of the fuzz target and of its corpus, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// What is fuzzed.
pub const TARGETS: [Target; 12] = [
    ("pipeline", files::pipeline),
    ("project", files::project),
    ("template", templates::template),
    ("asl", machines::definition),
    ("test_state", machines::one_state),
    ("jsonpath", paths::path),
    ("intrinsic", paths::intrinsic),
    ("jsonata", expressions::jsonata),
    ("event", events::event),
    ("webhook", webhooks::webhook),
    ("record", records::record),
    ("schedule", schedules::schedule),
];

/// Does with an input what the target of this name does.
///
/// # Panics
/// A promise is broken, or there is no such target.
pub fn run(target: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.unwrap_or_else(|| panic!("there is no target '{target}'")).1(input);
}

/// The line between the parts of an input.
pub const CUT: &[u8] = b"\n%%%%\n";

/// The first parts of an input; those that are missing are empty.
fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut rest = input;
    std::array::from_fn(|at| {
        // The last part keeps whatever follows.
        let cut = if at + 1 == N { None } else { rest.windows(CUT.len()).position(|bytes| bytes == CUT) };
        let (part, after) = match cut {
            Some(at) => (&rest[..at], &rest[at + CUT.len()..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        part
    })
}

/// The same as text.
fn texts<const N: usize>(input: &[u8]) -> Option<[&str; N]> {
    let text = std::str::from_utf8(input).ok()?;
    // The cut is ASCII: text that is cut there is text.
    Some(parts::<N>(text.as_bytes()).map(|part| std::str::from_utf8(part).unwrap_or_default()))
}

/// JSON of a part, or null.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}
