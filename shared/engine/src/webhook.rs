//! Signed calls from outside: each becomes at most one run. That a call is genuine was found out before;
//! here its body becomes parameters, and the ledger remembers what became of it.
//!
//! A call that was taken, or is one of a run that exists, is never taken again. One that was refused or came
//! while the pipeline was paused may be sent again, and is decided anew.

use crate::command::{Decision, Existing};
use crate::event::{booked, deployed, rejected, repeated, start_with};
use crate::stop::Stop;
use crate::trigger::{self, NewRun};
use crate::{Prepared, View, streak};
use cauce_model::event::{Became, LedgerRecord, ledger_item};
use cauce_model::item::Expect;
use cauce_model::plan::TriggerPlan;
use cauce_model::record::{PipelineRecord, Record, TriggerRecord, pipeline_item};
use cauce_model::webhook::{CallRecord, WebhookPlan, WebhookStyle, call_item};
use cauce_model::{Instant, Json, TriggerKind, Write};
use cauce_template::{Context, TemplateValue};
use serde_json::{Map, json};
use std::fmt;

/// A call of a webhook.
#[derive(Clone, PartialEq, Debug)]
pub struct Webhook {
    /// The pipeline.
    pub pipeline: String,
    /// The last part of the address, where the pipeline has several webhooks.
    pub path: Option<String>,
    /// How it was signed.
    pub style: WebhookStyle,
    /// What tells it from every other call.
    pub identity: String,
    /// The signed moment, or that of arrival. Of a refused call: the minute, so that a flood of them is one
    /// entry.
    pub at: Instant,
    /// The digest of the body, in hex; of a refused call nothing is kept.
    pub digest: Option<String>,
    /// The sender's name of the delivery.
    pub delivery: Option<String>,
    /// What it is.
    pub call: Call,
}

/// What a call is, as its signature told.
#[derive(Clone, PartialEq)]
pub enum Call {
    /// Genuine: its body.
    Genuine(Json),
    /// Not to be trusted, or unreadable: why.
    Refused(String),
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A body is nobody's business.
            Self::Genuine(_) => f.write_str("Genuine(..)"),
            Self::Refused(why) => f.debug_tuple("Refused").field(why).finish(),
        }
    }
}

/// The webhook of a plan at an address.
pub fn find<'a>(prepared: &'a Prepared, path: Option<&str>) -> Option<&'a WebhookPlan> {
    prepared.plan.triggers.iter().find_map(|trigger| match trigger {
        TriggerPlan::Webhook(hook) if hook.path.as_deref() == path => Some(hook),
        _ => None,
    })
}

/// Where a webhook is called, below the API's address.
pub fn address(pipeline: &str, path: Option<&str>) -> String {
    path.map_or_else(|| format!("hooks/{pipeline}"), |path| format!("hooks/{pipeline}/{path}"))
}

pub(crate) fn decide(hook: &Webhook, view: &View, now: Instant) -> Result<Decision, Stop> {
    let mut entry = LedgerRecord::new(
        (hook.at, now),
        "webhook",
        hook.identity.clone(),
        Some(&hook.pipeline),
        event(hook),
    );
    let body = match &hook.call {
        Call::Genuine(body) => body,
        Call::Refused(why) => {
            let key = ledger_item(entry.at, &entry.identity, entry.pipeline.as_deref());
            let mut decision = rejected(entry, why.clone());
            if view.item(&key)?.is_some() {
                // Told in this minute.
                decision.writes.clear();
            }
            return Ok(decision);
        }
    };
    let known_key = call_item(&hook.pipeline, &hook.identity);
    view.want([known_key.clone(), pipeline_item(&hook.pipeline)])?;
    let known = view.item(&known_key)?.map(CallRecord::from_item).transpose()?;
    entry.at = known.map_or(entry.at, |known| known.at);
    let key = ledger_item(entry.at, &entry.identity, entry.pipeline.as_deref());
    let mut before = None;
    if let Some(item) = view.item(&key)? {
        let again = LedgerRecord::from_item(item)?.became;
        if matches!(again, Became::Rejected | Became::Paused) {
            before = Some(item.version);
        } else if let Some(decision) = repeated(&entry, view)? {
            return Ok(decision);
        }
    } else if known.is_some() {
        // Its entry has expired; that it came has not.
        return Ok(booked(entry, Became::Duplicate, Some("the same call was received long ago".to_owned())));
    }
    let at = entry.at;
    let mut decision = heard(entry, hook, body, view, now)?;
    for write in &mut decision.writes {
        if let (Write::Put { item, expect }, Some(version)) = (write, before)
            && item.key == key
        {
            *expect = Expect::Version(version);
        }
    }
    if known.is_none() {
        decision.writes.push(CallRecord { at }.write(&hook.pipeline, &hook.identity, now));
    }
    Ok(decision)
}

/// What the ledger and the run's trigger tell of a call: nothing of its body but the digest.
fn event(hook: &Webhook) -> Json {
    let mut event = Map::new();
    event.insert("hook".into(), address(&hook.pipeline, hook.path.as_deref()).into());
    event.insert("style".into(), hook.style.as_str().into());
    for (name, value) in [("digest", &hook.digest), ("delivery", &hook.delivery)] {
        if let Some(value) = value {
            event.insert(name.into(), value.as_str().into());
        }
    }
    Json::Object(event)
}

fn heard(
    entry: LedgerRecord,
    hook: &Webhook,
    body: &Json,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let Some(deployed) = deployed(&hook.pipeline, view)? else {
        return Ok(rejected(entry, format!("there is no pipeline '{}'", hook.pipeline)));
    };
    let prepared = view.plan(&hook.pipeline, &deployed.version)?;
    let Some(plan) = find(&prepared, hook.path.as_deref()) else {
        let address = address(&hook.pipeline, hook.path.as_deref());
        return Ok(rejected(entry, format!("version {} has no webhook {address}", deployed.version)));
    };
    if deployed.paused || prepared.plan.paused {
        return Ok(booked(entry, Became::Paused, streak::held_back(&deployed)));
    }
    match made(plan, body, &entry, &prepared) {
        Ok((params, new)) => started(entry, hook, &deployed, params, new, view, now),
        Err(problem) => Ok(rejected(entry, problem)),
    }
}

/// Parameters and dates of the run that a body asks for.
fn made(
    plan: &WebhookPlan,
    body: &Json,
    entry: &LedgerRecord,
    prepared: &Prepared,
) -> Result<(Json, NewRun), String> {
    let mut values = Map::new();
    values.insert("body".into(), body.clone());
    let context = Context::new(&values);
    let render = |what: &str, value: &Json| {
        let template = TemplateValue::parse(value).map_err(|error| format!("{what}: {error}"))?;
        template.render(&context).map_err(|error| format!("{what}: {error}"))
    };
    let mut params = Map::new();
    for (name, value) in &plan.params {
        params.insert(name.clone(), render(&format!("parameter '{name}'"), value)?);
    }
    let new = match &plan.logical_date {
        None => NewRun {
            run_id: format!("webhook-{}", &entry.identity[..entry.identity.len().min(26)]),
            logical_date: entry.at,
            data_interval: (entry.at, entry.at),
            timezone: prepared.plan.timezone.clone(),
            scheduled_at: None,
        },
        Some(template) => {
            let date = render("logical_date", &Json::from(template.as_str()))?;
            let date = date.as_str().ok_or_else(|| "logical_date: not a text".to_owned())?;
            trigger::dated(&prepared.plan, Some(date), entry.at)?
        }
    };
    Ok((Json::Object(params), new))
}

fn started(
    entry: LedgerRecord,
    hook: &Webhook,
    deployed: &PipelineRecord,
    params: Json,
    new: NewRun,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let cause = TriggerRecord {
        kind: TriggerKind::Webhook,
        by: Some(address(&hook.pipeline, hook.path.as_deref())),
        detail: json!(entry.event),
        item: None,
    };
    start_with(entry, deployed, new, cause, Existing::Refuse, Some(params), view, now)
}
