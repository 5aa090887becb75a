//! Webhooks: signed calls, and the confirmation of an address.

use super::{Desk, document, media_type, pipeline_of};
use crate::http::{Answer, Request};
use crate::place::Place;
use crate::problem::{Failed, Problem};
use crate::throttle::minute;
use crate::webhook::{self, AtOnce, Genuine, Received};
use cauce_engine::Command;
use cauce_engine::command::Event;
use cauce_engine::webhook::{Call, Webhook};
use cauce_model::Json;
use cauce_model::ids::sha256_hex;
use cauce_model::webhook::{WebhookPlan, WebhookStyle};
use serde_json::{Map, json};

/// The media type of forms: what Slack sends for commands and buttons.
const FORM: &str = "application/x-www-form-urlencoded";

impl<P: Place> Desk<P> {
    pub(super) async fn hook(&self, request: &Request) -> Result<Answer, Failed> {
        let (pipeline, path, plan) = self.webhook(request).await?;
        let refuse = async |status: u16, why: &str, help: &str| -> Result<Answer, Failed> {
            self.refused_call(&pipeline, path, plan.style, why).await?;
            let problem = Problem::new(status, why, help);
            Err(match status {
                401 => problem
                    .header("www-authenticate", format!("Cauce-Signature style=\"{}\"", plan.style.as_str())),
                _ => problem,
            }
            .into())
        };
        let media = media_type(request);
        let form = plan.style == WebhookStyle::Slack && media == FORM;
        if !form && media != "application/json" {
            return refuse(415, "the body is not said to be JSON", "send content-type: application/json")
                .await;
        }
        let keys = self.secrets(&[Some(&plan.key), plan.previous_key.as_ref()]).await?;
        let header = |name: &str| request.header(name);
        let received = Received { header: &header, body: &request.body };
        let genuine = match webhook::verify(plan.style, &received, &keys, self.now()) {
            Ok(genuine) => genuine,
            Err(untrusted) => return refuse(401, untrusted.words(), untrusted.help()).await,
        };
        let body =
            if form { Ok(fields(&request.body)) } else { serde_json::from_slice::<Json>(&request.body) };
        let Ok(body) = body else {
            return refuse(400, "the body is signed, and is not JSON", "send one JSON document").await;
        };
        match webhook::at_once(plan.style, &genuine, &body) {
            Some(AtOnce::Challenge(text)) => return Ok(plain(text)),
            Some(AtOnce::Heard) => {
                return Ok(document(200, &json!({"became": "heard", "run": null, "reason": null})));
            }
            None => {}
        }
        let call = Webhook {
            digest: Some(sha256_hex(&request.body)),
            ..call(&pipeline, path, plan.style, genuine, body)
        };
        let told = self.command(Command::Event(Box::new(Event::Webhook(call)))).await?;
        let reason = told["reason"].as_str().unwrap_or("the call can start nothing").to_owned();
        match told["became"].as_str() {
            Some("run") => Ok(document(202, &told)),
            Some("rejected") => {
                let help = "the parameters that the webhook makes of the body are not those of the pipeline";
                Err(Problem::wrong(reason, help).into())
            }
            _ => Ok(document(200, &told)),
        }
    }

    /// Meta asks whether the address is ours before it calls it.
    pub(super) async fn confirm(&self, request: &Request) -> Result<Answer, Failed> {
        let (_, _, plan) = self.webhook(request).await?;
        if plan.verify_token.is_none() {
            let help = "this address takes POST";
            return Err(Problem::new(405, "the webhook confirms no address", help)
                .header("allow", "POST")
                .into());
        }
        let tokens = self.secrets(&[plan.verify_token.as_ref()]).await?;
        let token = tokens.first().map_or("", String::as_str);
        match webhook::confirmed(&request.query, token) {
            Some(challenge) => Ok(plain(challenge.to_owned())),
            None => {
                let help = "set the sender's verify token to the secret that 'verify_token' names";
                Err(Problem::new(403, "the confirmation does not hold the token agreed on", help).into())
            }
        }
    }

    /// The webhook of an address.
    async fn webhook<'a>(
        &self,
        request: &'a Request,
    ) -> Result<(String, Option<&'a str>, WebhookPlan), Failed> {
        let none = || {
            Problem::missing(
                "there is no such webhook",
                "'cauce check' and the pipeline's file tell its addresses",
            )
        };
        let pipeline = pipeline_of(request).map_err(|_| none())?;
        let path = request.parts.get("hook").map(String::as_str);
        let record = cauce_driver::look::pipeline(self.place.table(), pipeline).await?.ok_or_else(none)?;
        let prepared = self.place.plan(pipeline, &record.version).await?;
        let plan = cauce_engine::webhook::find(&prepared, path).ok_or_else(none)?;
        Ok((pipeline.to_owned(), path, plan.clone()))
    }

    /// The values of secrets; one that is not there is the operator's trouble, as long as none is.
    async fn secrets(&self, references: &[Option<&String>]) -> Result<Vec<String>, Failed> {
        let mut values = Vec::new();
        for reference in references.iter().flatten() {
            match self.place.secret(reference).await? {
                Some(value) if !value.is_empty() => values.push(value),
                _ => self.place.warn(&format!("there is no secret '{reference}', which a webhook names")),
            }
        }
        if values.is_empty() {
            Err(Failed::Trouble("a webhook has no key to check calls with".to_owned()))
        } else {
            Ok(values)
        }
    }

    /// Has the ledger told of a call that is not taken, once a minute for each reason.
    async fn refused_call(
        &self,
        pipeline: &str,
        path: Option<&str>,
        style: WebhookStyle,
        why: &str,
    ) -> Result<(), Failed> {
        let at = minute(self.now());
        let identity = sha256_hex(json!(["refused", path, why, at]).to_string());
        if !self.memory.throttle.borrow_mut().first(at, identity.clone()) {
            return Ok(());
        }
        let call = Webhook {
            pipeline: pipeline.to_owned(),
            path: path.map(str::to_owned),
            style,
            identity,
            at,
            digest: None,
            delivery: None,
            call: Call::Refused(why.to_owned()),
        };
        self.command(Command::Event(Box::new(Event::Webhook(call)))).await.map(|_| ())
    }
}

fn call(pipeline: &str, path: Option<&str>, style: WebhookStyle, genuine: Genuine, body: Json) -> Webhook {
    Webhook {
        pipeline: pipeline.to_owned(),
        path: path.map(str::to_owned),
        style,
        // Of each webhook by itself: one delivery may go to several.
        identity: sha256_hex(json!([path, genuine.identity]).to_string()),
        at: genuine.at,
        digest: None,
        delivery: genuine.delivery,
        call: Call::Genuine(body),
    }
}

/// The fields of a form, as an object of texts.
fn fields(body: &[u8]) -> Json {
    let fields: Map<String, Json> = url::form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    Json::Object(fields)
}

fn plain(text: String) -> Answer {
    Answer {
        status: 200,
        media_type: "text/plain; charset=utf-8",
        body: text.into_bytes(),
        headers: Vec::new(),
    }
}
