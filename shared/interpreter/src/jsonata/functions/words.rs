//! Integers as English words, Roman numerals and letters, in both directions.

const SMALL: [&str; 20] = [
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
];
const SMALL_ORDINALS: [&str; 20] = [
    "Zeroth",
    "First",
    "Second",
    "Third",
    "Fourth",
    "Fifth",
    "Sixth",
    "Seventh",
    "Eighth",
    "Ninth",
    "Tenth",
    "Eleventh",
    "Twelfth",
    "Thirteenth",
    "Fourteenth",
    "Fifteenth",
    "Sixteenth",
    "Seventeenth",
    "Eighteenth",
    "Nineteenth",
];
const TENS: [&str; 8] = ["Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"];
const MAGNITUDES: [(&str, f64); 4] =
    [("Trillion", 1e12), ("Billion", 1e9), ("Million", 1e6), ("Thousand", 1e3)];

/// A number that is not negative, in words.
pub(super) fn to_words(number: f64, ordinal: bool) -> String {
    write(number, false, ordinal)
}

fn write(number: f64, behind: bool, ordinal: bool) -> String {
    if let Some((name, size)) = MAGNITUDES.iter().find(|(_, size)| number >= *size) {
        let count = (number / size).floor();
        let rest = number - count * size;
        let lead = if behind { ", " } else { "" };
        let head = format!("{lead}{} {name}", write(count, false, false));
        return ended(head, rest, ordinal);
    }
    let small = number as usize;
    if small >= 100 {
        let lead = if behind { ", " } else { "" };
        let head = format!("{lead}{} Hundred", SMALL[small / 100]);
        return ended(head, (small % 100) as f64, ordinal);
    }
    let lead = if behind { " and " } else { "" };
    if small < 20 {
        let names = if ordinal { SMALL_ORDINALS } else { SMALL };
        return format!("{lead}{}", names[small]);
    }
    let tens = TENS[small / 10 - 2];
    match (small % 10, ordinal) {
        (0, true) => format!("{lead}{}ieth", &tens[..tens.len() - 1]),
        (0, false) => format!("{lead}{tens}"),
        (ones, _) => format!("{lead}{tens}-{}", write(ones as f64, false, ordinal)),
    }
}

/// The words before, and what is left over.
fn ended(head: String, rest: f64, ordinal: bool) -> String {
    if rest > 0.0 {
        head + &write(rest, true, ordinal)
    } else if ordinal {
        head + "th"
    } else {
        head
    }
}

/// A pattern for numbers in lower-case words: nothing but the words known here.
pub(super) fn pattern() -> String {
    let tens = TENS.iter().map(|name| format!("{}(?:y|ieth)", &name[..name.len() - 1]));
    let large = ["Hundred"].into_iter().chain(MAGNITUDES.map(|(name, _)| name));
    // Longer words come first, so that none is cut at one it begins with.
    let mut words: Vec<String> = SMALL_ORDINALS.into_iter().chain(SMALL).map(str::to_owned).collect();
    words.extend(tens.chain(large.map(|name| format!("{name}(?:th)?"))));
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    format!("(?:{}|and|[-, ])+", words.join("|").to_lowercase())
}

/// The number that lower-case words spell, cardinal or ordinal.
pub(super) fn from_words(text: &str) -> Option<f64> {
    let mut segments = vec![0.0];
    let words = text.split([',', ' ', '-']).filter(|word| !word.is_empty() && *word != "and");
    for word in words {
        let value = word_value(word)?;
        let top = segments.pop().unwrap_or(0.0);
        if value >= 100.0 {
            segments.push(top * value);
        } else if top >= 1000.0 {
            segments.extend([top, value]);
        } else {
            segments.push(top + value);
        }
    }
    Some(segments.iter().sum())
}

fn word_value(word: &str) -> Option<f64> {
    let within = |names: &[&str]| names.iter().position(|name| name.eq_ignore_ascii_case(word));
    if let Some(at) = within(&SMALL).or_else(|| within(&SMALL_ORDINALS)) {
        return Some(at as f64);
    }
    let cardinal = match word.strip_suffix("ieth") {
        Some(stem) => format!("{stem}y"),
        None => word.to_owned(),
    };
    if let Some(at) = TENS.iter().position(|name| name.eq_ignore_ascii_case(&cardinal)) {
        return Some((at + 2) as f64 * 10.0);
    }
    let cardinal = word.strip_suffix("th").unwrap_or(word);
    if cardinal == "hundred" {
        return Some(100.0);
    }
    let named = MAGNITUDES.iter().find(|(name, _)| name.eq_ignore_ascii_case(cardinal));
    named.map(|(_, size)| *size)
}

const ROMAN: [(u64, &str); 13] = [
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
    (10, "x"),
    (9, "ix"),
    (5, "v"),
    (4, "iv"),
    (1, "i"),
];

/// Lower-case Roman numerals.
pub(super) fn to_roman(mut number: u64) -> String {
    let mut text = String::new();
    for (value, numeral) in ROMAN {
        text.push_str(&numeral.repeat((number / value) as usize));
        number %= value;
    }
    text
}

pub(super) fn from_roman(text: &str) -> f64 {
    let (mut total, mut largest) = (0.0, 1.0);
    for c in text.chars().rev() {
        let value = match c.to_ascii_lowercase() {
            'm' => 1000.0,
            'd' => 500.0,
            'c' => 100.0,
            'l' => 50.0,
            'x' => 10.0,
            'v' => 5.0,
            'i' => 1.0,
            _ => 0.0,
        };
        if value < largest {
            total -= value;
        } else {
            largest = value;
            total += value;
        }
    }
    total
}

/// Spreadsheet columns: a, b ... z, aa.
pub(super) fn to_letters(mut number: u64) -> String {
    let mut letters = Vec::new();
    while number > 0 {
        let offset = u8::try_from((number - 1) % 26).unwrap_or(0);
        letters.push(char::from(b'a' + offset));
        number = (number - 1) / 26;
    }
    letters.into_iter().rev().collect()
}

pub(super) fn from_letters(text: &str) -> f64 {
    text.bytes()
        .fold(0.0, |total, byte| total * 26.0 + f64::from(byte.to_ascii_lowercase()) - f64::from(b'a') + 1.0)
}
