//! Function signatures such as `<s-nn?:s>`: what a function accepts, and how arguments are
//! completed from the context. <https://docs.jsonata.org/embedding-extending#function-signature-syntax>

use super::error::JsonataError;
use super::value::Item;

/// The most parameters a signature may have; bounds the search for a fitting assignment.
const MAX_PARAMETERS: usize = 16;

/// A parsed signature.
#[derive(Debug)]
pub(super) struct Signature {
    parameters: Vec<Parameter>,
}

#[derive(Debug)]
struct Parameter {
    /// The type letters accepted; `m` (missing) is always among them, except for functions.
    types: String,
    array: bool,
    /// The letter of `a<n>`.
    item: Option<char>,
    optional: bool,
    repeated: bool,
    from_context: bool,
}

/// The type letter of an argument.
fn letter(item: &Item<'_>) -> char {
    match item {
        Item::Undefined => 'm',
        Item::Null => 'l',
        Item::Bool(_) => 'b',
        Item::Number(_) => 'n',
        Item::Text(_) => 's',
        Item::Array(_) | Item::Tuples(_) => 'a',
        Item::Object(_) => 'o',
        Item::Function(_) => 'f',
    }
}

impl Signature {
    /// Parses a signature between its angle brackets; the position is added by the caller.
    pub(super) fn parse(text: &str) -> Result<Self, JsonataError> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let symbols: Vec<char> = text.chars().collect();
        let mut at = 1;
        while let Some(symbol) = symbols.get(at) {
            match symbol {
                ':' => break,
                's' | 'n' | 'b' | 'l' | 'o' => parameters.push(Parameter::of(&format!("{symbol}m"))),
                'a' => {
                    let mut parameter = Parameter::of("asnblfom");
                    parameter.array = true;
                    parameters.push(parameter);
                }
                'f' => parameters.push(Parameter::of("f")),
                'j' => parameters.push(Parameter::of("asnblom")),
                'x' => parameters.push(Parameter::of("asnblfom")),
                '(' => {
                    let end = closing(&symbols, at, '(', ')');
                    let choice: String = symbols.get(at + 1..end).unwrap_or_default().iter().collect();
                    if choice.contains('<') {
                        return Err(JsonataError::syntax(
                            "S0402",
                            0,
                            "Choice groups containing parameterized types are not supported",
                        ));
                    }
                    parameters.push(Parameter::of(&format!("{choice}m")));
                    at = end;
                }
                '<' => {
                    let end = closing(&symbols, at, '<', '>');
                    match parameters.last_mut() {
                        Some(last) if last.array || last.types == "f" => {
                            last.item = symbols.get(at + 1).copied().filter(|_| last.array);
                        }
                        _ => {
                            return Err(JsonataError::syntax(
                                "S0401",
                                0,
                                "Type parameters can only be applied to functions and arrays",
                            ));
                        }
                    }
                    at = end;
                }
                '-' | '?' | '+' => {
                    if let Some(last) = parameters.last_mut() {
                        match symbol {
                            '-' => (last.from_context, last.optional) = (true, true),
                            '?' => last.optional = true,
                            _ => last.repeated = true,
                        }
                    }
                }
                _ => {}
            }
            at += 1;
        }
        if parameters.len() > MAX_PARAMETERS {
            return Err(JsonataError::syntax(
                "S0403",
                0,
                format!("A function signature has at most {MAX_PARAMETERS} parameters"),
            ));
        }
        Ok(Self { parameters })
    }

    /// The number of parameters.
    pub(super) fn arity(&self) -> usize {
        self.parameters.len()
    }

    /// The arguments as the function expects them: a missing one taken from the context, a single
    /// value wrapped where an array is wanted.
    pub(super) fn complete<'a>(
        &self,
        arguments: Vec<Item<'a>>,
        context: &Item<'a>,
        name: &str,
    ) -> Result<Vec<Item<'a>>, JsonataError> {
        let letters: Vec<char> = arguments.iter().map(letter).collect();
        let mut counts = Vec::with_capacity(self.parameters.len());
        let mut furthest = 0;
        if !self.matches(0, &letters, 0, &mut counts, &mut furthest) {
            return Err(mismatch("T0410", furthest.min(arguments.len()) + 1, name));
        }
        let mut given = arguments.into_iter().enumerate();
        let mut complete = Vec::with_capacity(self.parameters.len());
        for (parameter, count) in self.parameters.iter().zip(counts) {
            if count == 0 {
                if parameter.from_context {
                    if !parameter.types.contains(letter(context)) {
                        return Err(mismatch("T0411", complete.len() + 1, name));
                    }
                    complete.push(context.clone());
                } else {
                    complete.push(Item::Undefined);
                }
            }
            for (at, argument) in given.by_ref().take(count) {
                complete.push(parameter.shaped(argument, at, name)?);
            }
        }
        Ok(complete)
    }

    /// Greedy matching with backtracking; `counts` are the arguments taken by each parameter.
    fn matches(
        &self,
        parameter: usize,
        letters: &[char],
        at: usize,
        counts: &mut Vec<usize>,
        furthest: &mut usize,
    ) -> bool {
        *furthest = (*furthest).max(at);
        let Some(wanted) = self.parameters.get(parameter) else {
            return at == letters.len();
        };
        let longest = if wanted.repeated { letters.len() - at } else { 1.min(letters.len() - at) };
        let fitting = letters[at..at + longest].iter().take_while(|c| wanted.types.contains(**c)).count();
        let least = usize::from(!wanted.optional);
        for count in (least..=fitting).rev() {
            counts.push(count);
            if self.matches(parameter + 1, letters, at + count, counts, furthest) {
                return true;
            }
            counts.pop();
        }
        false
    }
}

impl Parameter {
    fn of(types: &str) -> Self {
        Self {
            types: types.to_owned(),
            array: false,
            item: None,
            optional: false,
            repeated: false,
            from_context: false,
        }
    }

    fn shaped<'a>(&self, argument: Item<'a>, at: usize, name: &str) -> Result<Item<'a>, JsonataError> {
        if !self.array || argument.is_undefined() {
            return Ok(argument);
        }
        if let Some(wanted) = self.item {
            let fits = match &argument {
                Item::Array(items) => items.iter().all(|item| letter(&item) == wanted),
                single => letter(single) == wanted,
            };
            if !fits {
                let kind = match wanted {
                    'a' => "arrays",
                    'b' => "booleans",
                    'f' => "functions",
                    'n' => "numbers",
                    'o' => "objects",
                    _ => "strings",
                };
                let at = at + 1;
                return Err(JsonataError::evaluation(
                    "T0412",
                    0,
                    format!("Argument {at} of function \"{name}\" must be an array of \"{kind}\""),
                ));
            }
        }
        Ok(match argument {
            Item::Array(_) => argument,
            single => Item::array(vec![single]),
        })
    }
}

fn mismatch(code: &'static str, at: usize, name: &str) -> JsonataError {
    let message = if code == "T0410" {
        format!("Argument {at} of function \"{name}\" does not match function signature")
    } else {
        format!("Context value is not a compatible type with argument {at} of function \"{name}\"")
    };
    JsonataError::evaluation(code, 0, message)
}

/// The position of the bracket that closes the one at `start`, or the last position.
fn closing(symbols: &[char], start: usize, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, symbol) in symbols.iter().enumerate().skip(start) {
        if *symbol == open {
            depth += 1;
        } else if *symbol == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    symbols.len() - 1
}
