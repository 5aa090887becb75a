//! The built-in functions: their names, signatures and arities. Bodies are in the modules below.

mod aws;
mod collections;
mod matching;
mod number_format;
mod numbers;
mod picture;
mod texts;
mod times;
mod transform;
mod urls;
mod words;

use std::sync::LazyLock;

use super::error::JsonataError;
use super::evaluate::{Evaluator, Outcome};
use super::signature::Signature;
use super::value::{Array, Item, Object, Text};

type Body = for<'a> fn(&Arguments<'_, 'a>) -> Outcome<'a>;

/// A built-in function.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    signature: Signature,
    body: Body,
}

impl Builtin {
    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn arity(&self) -> usize {
        match self.name {
            // The reference declares these two with fewer parameters than their signatures have.
            "string" => 1,
            "zip" => 0,
            _ => self.signature.arity(),
        }
    }

    pub(super) fn run<'a>(&self, arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
        (self.body)(arguments)
    }
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name)
    }
}

/// The function called `$name`. `$eval` is absent, as on AWS.
pub(super) fn named(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

static BUILTINS: LazyLock<Vec<Builtin>> = LazyLock::new(|| {
    TABLE
        .iter()
        .filter_map(|(name, signature, body)| {
            // Every signature of the table parses; a test counts them.
            let signature = Signature::parse(signature).ok()?;
            Some(Builtin { name, signature, body: *body })
        })
        .collect()
});

const TABLE: &[(&str, &str, Body)] = &[
    ("sum", "<a<n>:n>", numbers::sum),
    ("count", "<a:n>", collections::count),
    ("max", "<a<n>:n>", numbers::max),
    ("min", "<a<n>:n>", numbers::min),
    ("average", "<a<n>:n>", numbers::average),
    ("string", "<x-b?:s>", texts::string),
    ("substring", "<s-nn?:s>", texts::substring),
    ("substringBefore", "<s-s:s>", texts::substring_before),
    ("substringAfter", "<s-s:s>", texts::substring_after),
    ("lowercase", "<s-:s>", texts::lowercase),
    ("uppercase", "<s-:s>", texts::uppercase),
    ("length", "<s-:n>", texts::length),
    ("trim", "<s-:s>", texts::trim),
    ("pad", "<s-ns?:s>", texts::pad),
    ("match", "<s-f<s:o>n?:a<o>>", matching::matches),
    ("contains", "<s-(sf):b>", matching::contains),
    ("replace", "<s-(sf)(sf)n?:s>", matching::replace),
    ("split", "<s-(sf)n?:a<s>>", matching::split),
    ("join", "<a<s>s?:s>", texts::join),
    ("formatNumber", "<n-so?:s>", number_format::format_number),
    ("formatBase", "<n-n?:s>", numbers::format_base),
    ("formatInteger", "<n-s:s>", picture::format_integer),
    ("parseInteger", "<s-s:n>", picture::parse_integer),
    ("number", "<(nsb)-:n>", numbers::number),
    ("floor", "<n-:n>", numbers::floor),
    ("ceil", "<n-:n>", numbers::ceil),
    ("round", "<n-n?:n>", numbers::round),
    ("abs", "<n-:n>", numbers::abs),
    ("sqrt", "<n-:n>", numbers::sqrt),
    ("power", "<n-n:n>", numbers::power),
    ("random", "<n?:n>", aws::random),
    ("boolean", "<x-:b>", collections::boolean),
    ("not", "<x-:b>", collections::not),
    ("map", "<af>", collections::map),
    ("zip", "<a+>", collections::zip),
    ("filter", "<af>", collections::filter),
    ("single", "<af?>", collections::single),
    ("reduce", "<afj?:j>", collections::reduce),
    ("sift", "<o-f?:o>", collections::sift),
    ("keys", "<x-:a<s>>", collections::keys),
    ("lookup", "<x-s:x>", collections::lookup),
    ("append", "<xx:a>", collections::append),
    ("exists", "<x:b>", collections::exists),
    ("spread", "<x-:a<o>>", collections::spread),
    ("merge", "<a<o>:o>", collections::merge),
    ("reverse", "<a:a>", collections::reverse),
    ("each", "<o-f:a>", collections::each),
    ("error", "<s?:x>", collections::error),
    ("assert", "<bs?:x>", collections::assert),
    ("type", "<x:s>", collections::type_of),
    ("sort", "<af?:a>", collections::sort),
    ("shuffle", "<a:a>", aws::shuffle),
    ("distinct", "<x:x>", collections::distinct),
    ("base64encode", "<s-:s>", texts::base64_encode),
    ("base64decode", "<s-:s>", texts::base64_decode),
    ("encodeUrlComponent", "<s-:s>", urls::encode_component),
    ("encodeUrl", "<s-:s>", urls::encode),
    ("decodeUrlComponent", "<s-:s>", urls::decode_component),
    ("decodeUrl", "<s-:s>", urls::decode),
    ("toMillis", "<s-s?:n>", times::to_millis),
    ("fromMillis", "<n-s?s?:s>", times::from_millis),
    ("now", "<s?s?:s>", times::now),
    ("millis", "<:n>", times::millis),
    ("clone", "<(oa)-:o>", transform::clone),
    ("partition", "<an>", aws::partition),
    ("range", "<nnn>", aws::range),
    ("hash", "<ss>", aws::hash),
    ("uuid", "<:s>", aws::uuid),
    ("parse", "<s>", aws::parse),
];

/// The arguments of one call, completed by the signature.
pub(super) struct Arguments<'e, 'a> {
    pub(super) evaluator: &'e Evaluator<'a>,
    pub(super) given: &'e [Item<'a>],
}

impl<'a> Arguments<'_, 'a> {
    /// An argument; one not given is undefined.
    fn item(&self, at: usize) -> Item<'a> {
        self.given.get(at).cloned().unwrap_or(Item::Undefined)
    }

    fn text(&self, at: usize) -> Option<Text<'a>> {
        match self.given.get(at) {
            Some(Item::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn number(&self, at: usize) -> Option<f64> {
        self.given.get(at).and_then(Item::as_f64)
    }

    fn array(&self, at: usize) -> Option<Array<'a>> {
        match self.given.get(at) {
            Some(Item::Array(array)) => Some(array.clone()),
            _ => None,
        }
    }

    fn object(&self, at: usize) -> Option<Object<'a>> {
        match self.given.get(at) {
            Some(Item::Object(object)) => Some(object.clone()),
            _ => None,
        }
    }

    /// Calls a function argument with as many of `arguments` as it takes, at least one.
    fn call_with(&self, function: &Item<'a>, mut arguments: Vec<Item<'a>>) -> Outcome<'a> {
        if let Item::Function(function) = function {
            arguments.truncate(function.arity().max(1));
        }
        self.evaluator.call(function, arguments)
    }

    /// A text made by a function.
    fn made(&self, text: String) -> Outcome<'a> {
        self.evaluator.charge_text(text.len())?;
        Ok(Item::text(text))
    }
}

/// A failure of a function; the call adds its position.
fn failure(code: &'static str, message: impl Into<String>) -> JsonataError {
    JsonataError::evaluation(code, 0, message)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_signature_of_the_table_parses() {
        assert_eq!(super::BUILTINS.len(), super::TABLE.len());
    }
}
