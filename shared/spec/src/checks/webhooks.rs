//! Webhooks: their addresses and parameters.

use std::collections::BTreeSet;

use crate::checks::Draft;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::webhook::WebhookTrigger;
use crate::shape::Reader;
use crate::tree::Node;
use cauce_model::webhook::WebhookStyle;

/// What a template of a webhook may read.
pub(crate) const BODY: &str = "body";

/// Whether a template stands in a webhook.
pub(crate) fn holds(route: &str) -> bool {
    route.starts_with("triggers[") && route.contains("].webhook.")
}

pub(crate) fn check<'a>(
    draft: &Draft<'_>,
    hook: &'a WebhookTrigger,
    node: &Node,
    route: &str,
    taken: &mut BTreeSet<Option<&'a str>>,
    reader: &mut Reader,
) {
    let span = |key: &str| node.get(key).map_or(node.span, |entry| entry.value.span);
    let mut report = |code: Code, key: &str, message: String, help: String| {
        reader.report(Diagnostic::error(code, span(key), message).help(help).at(format!("{route}.{key}")));
    };
    if !taken.insert(hook.path.as_ref().map(|path| path.as_str())) {
        report(
            Code::Conflict,
            "path",
            "two webhooks of the pipeline have the same address".to_owned(),
            "give each its own `path`".to_owned(),
        );
    }
    let is_meta = hook.style == WebhookStyle::Meta;
    if is_meta != hook.verify_token.is_some() {
        let (message, help) = match is_meta {
            true => (
                "the style `meta` confirms its address with a token first",
                "add `verify_token: \"secret:...\"`",
            ),
            false => ("only the style `meta` confirms its address", "leave `verify_token` out"),
        };
        report(Code::Conflict, "verify_token", message.to_owned(), help.to_owned());
    }
    for name in hook.params.keys() {
        if !draft.pipeline.params.contains_key(name.as_str()) {
            report(
                Code::UnknownParam,
                "params",
                format!("there is no parameter `{name}`"),
                format!("declare it: `params: {{{name}: {{type: string}}}}`"),
            );
        }
    }
}
