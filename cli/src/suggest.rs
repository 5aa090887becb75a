//! Near names, for people who mistyped one.

/// How alike two names must be to be offered for each other, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The name most like the one given, if any is like it at all.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_nonsense_is_not() {
        let known = ["extract", "transform", "load"];
        assert_eq!(nearest("extarct", known), Some("extract"));
        assert_eq!(nearest("LOAD", known), Some("load"));
        assert_eq!(nearest("zzz", known), None);
    }
}
