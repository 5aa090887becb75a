//! Signed calls that start runs: [`WebhookTrigger`].

use cauce_model::webhook::WebhookStyle;
use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;

use crate::shape::{Name, SecretRef, record};

record! {
    /// Webhook trigger: a signed call from outside, of `/hooks/<pipeline>` or `/hooks/<pipeline>/<path>`.
    pub struct WebhookTrigger {
        /// Path: the last part of its address, for a pipeline with several webhooks.
        path: Option<Name> = None;
        /// Key: the secret that signs calls, such as `secret:hooks/shop`.
        key: SecretRef;
        /// Previous key: a second secret that is as good, while one takes the place of the other.
        previous_key: Option<SecretRef> = None;
        /// Verify token: the secret that the sender shows when it confirms the address; style `meta` needs it.
        verify_token: Option<SecretRef> = None;
        /// Style: how calls are signed.
        style: WebhookStyle = WebhookStyle::Generic;
        /// Parameters: the run's, made of the body: `{region: "{{ body.region }}"}`. Nothing else of it is kept.
        params: IndexMap<Name, TemplateValue> = IndexMap::new();
        /// Logical date: the run's date, made of the body: `{{ body.date }}`. A second call for the same date starts nothing.
        logical_date: Option<Template> = None;
    }
}
