//! `$formatNumber`: decimal pictures of XPath, such as `#,##0.00`.
//! <https://www.w3.org/TR/xpath-functions-31/#formatting-numbers>

use super::super::evaluate::Outcome;
use super::super::value::Item;
use super::numbers::rounded;
use super::picture::regular_interval;
use super::{Arguments, JsonataError, failure};

/// The most digits behind the decimal separator; a guard of ours.
const MAX_FRACTION: usize = 300;

/// The characters with a meaning, which the third argument may change.
struct Symbols {
    decimal: String,
    grouping: String,
    exponent: String,
    minus: String,
    percent: String,
    per_mille: String,
    zero: char,
    digit: String,
    separator: String,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            decimal: ".".to_owned(),
            grouping: ",".to_owned(),
            exponent: "e".to_owned(),
            minus: "-".to_owned(),
            percent: "%".to_owned(),
            per_mille: "\u{2030}".to_owned(),
            zero: '0',
            digit: "#".to_owned(),
            separator: ";".to_owned(),
        }
    }
}

impl Symbols {
    fn is_digit(&self, c: char) -> bool {
        (u32::from(self.zero)..u32::from(self.zero) + 10).contains(&u32::from(c))
    }

    fn is_placeholder(&self, c: char) -> bool {
        self.is_digit(c) || is(&self.digit, c)
    }

    fn is_active(&self, c: char) -> bool {
        self.is_placeholder(c)
            || [&self.decimal, &self.exponent, &self.grouping, &self.separator]
                .into_iter()
                .any(|symbol| is(symbol, c))
    }

    fn digits_of(&self, number: f64, fraction: usize) -> String {
        let text = format!("{:.fraction$}", number.abs());
        text.chars()
            .map(|c| match c.to_digit(10) {
                Some(value) => char::from_u32(u32::from(self.zero) + value).unwrap_or(c),
                None => c,
            })
            .collect()
    }
}

fn is(symbol: &str, c: char) -> bool {
    symbol.chars().eq([c])
}

/// One half of a picture, taken apart.
#[derive(Clone)]
struct Part {
    picture: String,
    prefix: String,
    suffix: String,
    active: String,
    mantissa: String,
    exponent: Option<String>,
    integer: String,
    fraction: String,
}

impl Part {
    fn new(picture: &str, symbols: &Symbols) -> Self {
        let opens = |c: char| symbols.is_active(c) && !is(&symbols.exponent, c);
        let start = picture.find(opens).unwrap_or(picture.len());
        let end =
            picture.char_indices().rev().find(|(_, c)| opens(*c)).map_or(start, |(at, c)| at + c.len_utf8());
        let (prefix, active, suffix) = (&picture[..start], &picture[start..end], &picture[end..]);
        let (mantissa, exponent) = match active.split_once(symbols.exponent.as_str()) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent.to_owned())),
            None => (active, None),
        };
        let (integer, fraction) = match mantissa.split_once(symbols.decimal.as_str()) {
            Some((integer, fraction)) => (integer, fraction),
            None => (mantissa, ""),
        };
        Self {
            picture: picture.to_owned(),
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
            active: active.to_owned(),
            mantissa: mantissa.to_owned(),
            exponent,
            integer: integer.to_owned(),
            fraction: fraction.to_owned(),
        }
    }

    /// The rules of section 4.7.3; the last one broken is reported, as in the reference.
    fn validate(&self, symbols: &Symbols) -> Result<(), JsonataError> {
        let count = |symbol: &str| self.picture.matches(symbol).count();
        let signed = count(&symbols.percent) + count(&symbols.per_mille) > 0;
        let grouped = |at: Option<usize>, text: &str| {
            at.is_some_and(|at| text.get(at..).is_some_and(|rest| rest.starts_with(&symbols.grouping)))
        };
        let decimal = self.picture.find(&symbols.decimal);
        let beside = decimal.is_some_and(|at| {
            self.picture[..at].ends_with(&symbols.grouping)
                || grouped(Some(at + symbols.decimal.len()), &self.picture)
        });
        let optional_behind = self
            .integer
            .find(&symbols.digit)
            .is_some_and(|at| self.integer[..at].chars().any(|c| symbols.is_digit(c)));
        let optional_before = self
            .fraction
            .rfind(&symbols.digit)
            .is_some_and(|at| self.fraction[at..].chars().any(|c| symbols.is_digit(c)));
        let exponent = self.exponent.as_deref();
        let broken = [
            (
                count(&symbols.decimal) > 1,
                "D3081",
                "The sub-picture must not contain more than one instance of the 'decimal-separator' character",
            ),
            (
                count(&symbols.percent) > 1,
                "D3082",
                "The sub-picture must not contain more than one instance of the 'percent' character",
            ),
            (
                count(&symbols.per_mille) > 1,
                "D3083",
                "The sub-picture must not contain more than one instance of the 'per-mille' character",
            ),
            (
                count(&symbols.percent) > 0 && count(&symbols.per_mille) > 0,
                "D3084",
                "The sub-picture must not contain both a 'percent' and a 'per-mille' character",
            ),
            (
                !self.mantissa.chars().any(|c| symbols.is_placeholder(c)),
                "D3085",
                "The mantissa part of a sub-picture must contain at least one character that is either an 'optional digit character' or a member of the 'decimal digit family'",
            ),
            (
                self.active.chars().any(|c| !symbols.is_active(c)),
                "D3086",
                "The sub-picture must not contain a passive character that is preceded by an active character and that is followed by another active character",
            ),
            (
                beside,
                "D3087",
                "The sub-picture must not contain a 'grouping-separator' character that appears adjacent to a 'decimal-separator' character",
            ),
            (
                decimal.is_none() && self.integer.ends_with(&symbols.grouping),
                "D3088",
                "The sub-picture must not contain a 'grouping-separator' at the end of the integer part",
            ),
            (
                self.picture.contains(&symbols.grouping.repeat(2)),
                "D3089",
                "The sub-picture must not contain two adjacent instances of the 'grouping-separator' character",
            ),
            (
                optional_behind,
                "D3090",
                "The integer part of the sub-picture must not contain a member of the 'decimal digit family' that is followed by an instance of the 'optional digit character'",
            ),
            (
                optional_before,
                "D3091",
                "The fractional part of the sub-picture must not contain an instance of the 'optional digit character' that is followed by a member of the 'decimal digit family'",
            ),
            (
                signed && exponent.is_some_and(|exponent| !exponent.is_empty()),
                "D3092",
                "A sub-picture that contains a 'percent' or 'per-mille' character must not contain a character treated as an 'exponent-separator'",
            ),
            (
                exponent.is_some_and(|exponent| {
                    exponent.is_empty() || exponent.chars().any(|c| !symbols.is_digit(c))
                }),
                "D3093",
                "The exponent part of the sub-picture must comprise only of one or more characters that are members of the 'decimal digit family'",
            ),
        ];
        match broken.into_iter().rfind(|(broken, ..)| *broken) {
            Some((_, code, message)) => Err(failure(code, message)),
            None => Ok(()),
        }
    }

    fn format(&self, number: f64, symbols: &Symbols) -> String {
        let digits = |text: &str| text.chars().filter(|c| symbols.is_digit(*c)).count();
        let places = |text: &str| text.chars().filter(|c| symbols.is_placeholder(*c)).count();
        let mut least_integer = digits(&self.integer);
        let scale = least_integer;
        let mut least_fraction = digits(&self.fraction);
        let mut most_fraction = places(&self.fraction).min(MAX_FRACTION);
        let exponent_digits = self.exponent.as_deref().map_or(0, digits);
        if least_integer == 0 && most_fraction == 0 {
            if self.exponent.is_some() {
                (least_fraction, most_fraction) = (1, 1);
            } else {
                least_integer = 1;
            }
        }
        if self.exponent.is_some() && least_integer == 0 && self.integer.contains(&symbols.digit) {
            least_integer = 1;
        }
        if least_integer == 0 && least_fraction == 0 {
            least_fraction = 1;
        }

        let mut mantissa = if self.picture.contains(&symbols.percent) {
            number * 100.0
        } else if self.picture.contains(&symbols.per_mille) {
            number * 1000.0
        } else {
            number
        };
        let mut exponent = 0_i32;
        if exponent_digits > 0 && mantissa != 0.0 {
            let scale = i32::try_from(scale).unwrap_or(0);
            let (most, least) = (10_f64.powi(scale), 10_f64.powi(scale - 1));
            // A double has fewer than 700 decimal orders, so both loops end.
            while mantissa.abs() < least {
                mantissa *= 10.0;
                exponent -= 1;
            }
            while mantissa.abs() > most {
                mantissa /= 10.0;
                exponent += 1;
            }
        }

        let places = i32::try_from(most_fraction).unwrap_or(0);
        let text = symbols.digits_of(rounded(mantissa, places), most_fraction);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let whole = whole.trim_start_matches(symbols.zero);
        let fraction = fraction.trim_end_matches(symbols.zero);
        let zeros = |missing: usize| symbols.zero.to_string().repeat(missing);
        let whole = zeros(least_integer.saturating_sub(whole.chars().count())) + whole;
        let fraction = fraction.to_owned() + &zeros(least_fraction.saturating_sub(fraction.chars().count()));

        let mut result = self.prefix.clone();
        result.push_str(&self.grouped_integer(&whole, symbols));
        let fraction = self.grouped_fraction(&fraction, symbols);
        if !fraction.is_empty() {
            result.push_str(&symbols.decimal);
            result.push_str(&fraction);
        }
        if exponent_digits > 0 {
            let text = symbols.digits_of(f64::from(exponent), 0);
            result.push_str(&symbols.exponent);
            if exponent < 0 {
                result.push_str(&symbols.minus);
            }
            result.push_str(&zeros(exponent_digits.saturating_sub(text.chars().count())));
            result.push_str(&text);
        }
        result.push_str(&self.suffix);
        result
    }

    fn grouped_integer(&self, digits: &str, symbols: &Symbols) -> String {
        // How many digits stand right of each separator of the picture.
        let positions: Vec<usize> = self
            .integer
            .match_indices(symbols.grouping.as_str())
            .map(|(at, _)| self.integer[at..].chars().filter(|c| symbols.is_placeholder(*c)).count())
            .collect();
        let every = regular_interval(&positions);
        let length = digits.chars().count();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            let right = length - at;
            let separated = if every > 0 { right.is_multiple_of(every) } else { positions.contains(&right) };
            if at > 0 && separated {
                text.push_str(&symbols.grouping);
            }
            text.push(digit);
        }
        text
    }

    fn grouped_fraction(&self, digits: &str, symbols: &Symbols) -> String {
        let positions: Vec<usize> = self
            .fraction
            .match_indices(symbols.grouping.as_str())
            .map(|(at, _)| self.fraction[..at].chars().filter(|c| symbols.is_placeholder(*c)).count())
            .collect();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if positions.contains(&at) {
                text.push_str(&symbols.grouping);
            }
            text.push(digit);
        }
        text
    }
}

pub(super) fn format_number<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(number), Some(picture)) = (arguments.number(0), arguments.text(1)) else {
        return Ok(Item::Undefined);
    };
    let mut symbols = Symbols::default();
    if let Some(options) = arguments.object(2) {
        for (name, value) in options.entries() {
            let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { continue };
            let text = text.to_owned();
            match &*name {
                "decimal-separator" => symbols.decimal = text,
                "grouping-separator" => symbols.grouping = text,
                "exponent-separator" => symbols.exponent = text,
                "minus-sign" => symbols.minus = text,
                "percent" => symbols.percent = text,
                "per-mille" => symbols.per_mille = text,
                "zero-digit" => symbols.zero = text.chars().next().unwrap_or('0'),
                "digit" => symbols.digit = text,
                "pattern-separator" => symbols.separator = text,
                _ => {}
            }
        }
    }
    let parts: Vec<Part> =
        picture.split(symbols.separator.as_str()).map(|part| Part::new(part, &symbols)).collect();
    if parts.len() > 2 {
        return Err(failure("D3080", "The picture string must only contain a maximum of two sub-pictures"));
    }
    parts.iter().try_for_each(|part| part.validate(&symbols))?;
    arguments.evaluator.charge_text(picture.len() * 8)?;
    let text = match parts.as_slice() {
        [positive] if number < 0.0 => {
            let prefix = symbols.minus.clone() + &positive.prefix;
            Part { prefix, ..positive.clone() }.format(number, &symbols)
        }
        [_, negative] if number < 0.0 => negative.format(number, &symbols),
        [part, ..] => part.format(number, &symbols),
        [] => String::new(),
    };
    arguments.made(text)
}
