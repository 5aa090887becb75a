//! What went wrong, for people.

use std::error::Error;

/// An error and what lies behind it, in one line. Who says what its source says is told once.
pub fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let behind = error.to_string();
        if !text.ends_with(&behind) {
            text.push_str(": ");
            text.push_str(&behind);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn sources_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Same);
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Same(#[source] io::Error);
        let error = Outer(Same(io::Error::other("inner")));
        assert_eq!(with_sources(&error), "outer: inner");
    }
}
