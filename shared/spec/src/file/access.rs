//! Keys of the API: [`Api`].

use cauce_model::access::{Access, AccessKey, Scope};
use indexmap::IndexMap;

use crate::shape::{Name, SecretRef, record};

record! {
    /// API: who may use the HTTP interface.
    pub struct Api {
        /// Keys: by name; records call whoever holds one by it.
        keys: IndexMap<Name, ApiKey> = IndexMap::new();
    }
}

record! {
    /// API key: a token and what it opens.
    pub struct ApiKey {
        /// Secret: the token, such as `secret:api/ci`; at least 20 characters, better 32 of chance.
        secret: SecretRef;
        /// Previous: a second token that is as good, while one takes the place of the other.
        previous: Option<SecretRef> = None;
        /// Scopes: what it opens.
        scopes: Vec<Scope>;
        /// Pipelines: those that it is for; absent means all.
        pipelines: Option<Vec<Name>> = None;
    }
}

impl Api {
    /// The keys as the API reads them.
    pub fn access(&self) -> Access {
        let key = |key: &ApiKey| AccessKey {
            secret: key.secret.to_string(),
            previous: key.previous.as_ref().map(ToString::to_string),
            scopes: key.scopes.clone(),
            pipelines: key.pipelines.as_ref().map(|names| names.iter().map(ToString::to_string).collect()),
        };
        Access { keys: self.keys.iter().map(|(name, given)| (name.to_string(), key(given))).collect() }
    }
}
