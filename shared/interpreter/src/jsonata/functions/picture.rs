//! Integer pictures of XPath, such as `#,##0`, `01`, `w`, `Ww;o`, `I`, `a`.
//! <https://www.w3.org/TR/xpath-functions-31/#formatting-integers>

use super::super::evaluate::Outcome;
use super::super::value::{Item, number_text};
use super::words;
use super::{Arguments, JsonataError, failure};

/// The first digits of the decimal systems a picture may be written in.
const ZEROS: [u32; 37] = [
    0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

/// The most digits a picture may demand; a guard of ours.
const MAX_DIGITS: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct IntegerPicture {
    pub(super) style: Style,
    pub(super) ordinal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Case {
    Upper,
    Lower,
    Title,
}

#[derive(Clone, Debug)]
pub(super) enum Style {
    Letters(Case),
    Roman(Case),
    Words(Case),
    Decimal {
        zero: u32,
        mandatory: usize,
        optional: usize,
        /// Separators by their distance from the right end.
        separators: Vec<(usize, char)>,
        /// The distance at which one separator repeats, or 0.
        every: usize,
    },
}

impl IntegerPicture {
    pub(super) fn parse(picture: &str) -> Result<Self, JsonataError> {
        let (primary, modifier) = picture.rsplit_once(';').unwrap_or((picture, ""));
        let style = match primary {
            "A" => Style::Letters(Case::Upper),
            "a" => Style::Letters(Case::Lower),
            "I" => Style::Roman(Case::Upper),
            "i" => Style::Roman(Case::Lower),
            "W" => Style::Words(Case::Upper),
            "w" => Style::Words(Case::Lower),
            "Ww" => Style::Words(Case::Title),
            _ => decimal(primary)?,
        };
        Ok(Self { style, ordinal: modifier.starts_with('o') })
    }

    pub(super) fn format(&self, number: f64) -> String {
        let size = number.abs();
        let cased = |text: String, case: Case| match case {
            Case::Upper => text.to_uppercase(),
            Case::Lower => text.to_lowercase(),
            Case::Title => text,
        };
        let text = match &self.style {
            Style::Letters(case) => cased(words::to_letters(size as u64), *case),
            // Beyond any use; and each thousand is one letter.
            Style::Roman(case) => cased(words::to_roman((size as u64).min(1_000_000)), *case),
            Style::Words(case) => cased(words::to_words(size, self.ordinal), *case),
            Style::Decimal { zero, mandatory, separators, every, .. } => {
                let mut digits: Vec<char> = format!("{:0>mandatory$}", number_text(size)).chars().collect();
                let last = digits.last().copied();
                let teen = digits.len() > 1 && digits[digits.len() - 2] == '1';
                for digit in &mut digits {
                    if let Some(value) = digit.to_digit(10) {
                        *digit = char::from_u32(zero + value).unwrap_or(*digit);
                    }
                }
                let length = digits.len();
                let mut separated = Vec::with_capacity(length + separators.len());
                for (at, digit) in digits.into_iter().enumerate() {
                    let right = length - at;
                    let separator = if *every > 0 {
                        separators.first().filter(|_| right.is_multiple_of(*every))
                    } else {
                        separators.iter().find(|(position, _)| *position == right)
                    };
                    if at > 0
                        && let Some((_, separator)) = separator
                    {
                        separated.push(*separator);
                    }
                    separated.push(digit);
                }
                let mut text: String = separated.into_iter().collect();
                if self.ordinal {
                    text.push_str(match last {
                        Some('1') if !teen => "st",
                        Some('2') if !teen => "nd",
                        Some('3') if !teen => "rd",
                        _ => "th",
                    });
                }
                text
            }
        };
        if number < 0.0 { format!("-{text}") } else { text }
    }

    /// The number that a text in this picture spells.
    pub(super) fn read(&self, text: &str) -> Option<f64> {
        match &self.style {
            Style::Letters(_) => Some(words::from_letters(text)),
            Style::Roman(_) => Some(words::from_roman(text)),
            Style::Words(_) => words::from_words(&text.to_lowercase()),
            Style::Decimal { zero, separators, .. } => {
                let text = if self.ordinal {
                    text.trim_end_matches(|c: char| c.is_ascii_alphabetic())
                } else {
                    text
                };
                let mut digits = String::new();
                for c in text.chars() {
                    if separators.iter().any(|(_, separator)| *separator == c) {
                        continue;
                    }
                    match u32::from(c).checked_sub(*zero).filter(|value| *value < 10) {
                        Some(value) => digits.extend(char::from_digit(value, 10)),
                        None if digits.is_empty() && c == '-' => digits.push(c),
                        None => break,
                    }
                }
                digits.parse().ok()
            }
        }
    }
}

fn decimal(picture: &str) -> Result<Style, JsonataError> {
    let mut zero = None;
    let (mut mandatory, mut optional, mut position) = (0, 0, 0);
    let mut separators = Vec::new();
    for c in picture.chars().rev() {
        let code = u32::from(c);
        let group = ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&code));
        match group {
            Some(group) => {
                if zero.is_some_and(|zero| zero != group) {
                    return Err(failure(
                        "D3131",
                        "In a decimal digit pattern, all digits must be from the same decimal group",
                    ));
                }
                zero = Some(group);
                mandatory += 1;
                position += 1;
            }
            None if c == '#' => {
                optional += 1;
                position += 1;
            }
            None => separators.push((position, c)),
        }
    }
    let Some(zero) = zero.filter(|_| mandatory <= MAX_DIGITS) else {
        let shown = serde_json::Value::from(picture);
        return Err(failure(
            "D3130",
            format!(
                "Formatting or parsing an integer as a sequence starting with {shown} is not \
                 supported by this implementation"
            ),
        ));
    };
    let every = regular(&separators);
    Ok(Style::Decimal { zero, mandatory, optional, separators, every })
}

/// The distance at which the same separator repeats without a gap, or 0.
fn regular(separators: &[(usize, char)]) -> usize {
    let Some((_, first)) = separators.first() else { return 0 };
    if separators.iter().any(|(_, separator)| separator != first) {
        return 0;
    }
    let positions: Vec<usize> = separators.iter().map(|(position, _)| *position).collect();
    regular_interval(&positions)
}

/// The greatest common divisor of the positions if every multiple of it is among them, or 0.
pub(super) fn regular_interval(positions: &[usize]) -> usize {
    let divisor = positions.iter().copied().reduce(gcd).unwrap_or(0);
    let complete = (1..=positions.len()).all(|at| positions.contains(&(at * divisor)));
    if complete { divisor } else { 0 }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

pub(super) fn format_integer<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(number), Some(picture)) = (arguments.number(0), arguments.text(1)) else {
        return Ok(Item::Undefined);
    };
    arguments.made(IntegerPicture::parse(&picture)?.format(number.floor()))
}

pub(super) fn parse_integer<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(text), Some(picture)) = (arguments.text(0), arguments.text(1)) else {
        return Ok(Item::Undefined);
    };
    Ok(IntegerPicture::parse(&picture)?.read(&text).map_or(Item::Undefined, Item::number))
}
