//! "Did you mean": the known word nearest to an unknown one.

/// The candidate within a third of the word's length in edits, nearest first.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 2 * limit + 2)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The help text for an unknown word: the nearest known one, or the known ones where they are few.
pub(crate) fn help<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let all: Vec<&str> = known.into_iter().collect();
            match all.len() {
                0 => "there is none yet".to_owned(),
                1..=24 => format!("known here: {}", all.join(", ")),
                count => format!("{count} names are known here, none of them near"),
            }
        }
    }
}
