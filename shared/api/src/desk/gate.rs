//! Who asks: a bearer token against the keys of the environment.
//! <https://www.rfc-editor.org/rfc/rfc6750>

use super::Desk;
use crate::http::Request;
use crate::place::Place;
use crate::problem::{Failed, Problem};
use crate::webhook::same_secret;
use cauce_model::access::Scope;

/// Fewest bytes of a token: a shorter one could be guessed, so it opens nothing.
pub(super) const TOKEN_MIN: usize = 20;

/// Whoever holds a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// The key's name.
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) pipelines: Option<Vec<String>>,
}

impl Caller {
    /// What records call them.
    pub(super) fn by(&self) -> String {
        format!("api:{}", self.name)
    }

    /// Whether the key is for a pipeline.
    pub(super) fn sees(&self, pipeline: &str) -> bool {
        self.pipelines.as_ref().is_none_or(|pipelines| pipelines.iter().any(|one| one == pipeline))
    }
}

impl<P: Place> Desk<P> {
    /// Whose key came with a request. Every key is compared, whichever fits.
    pub(super) async fn caller(&self, request: &Request) -> Result<Caller, Failed> {
        let token = token(request)?;
        let access = self.place.access().await?;
        let mut found = None;
        for (name, key) in &access.keys {
            for reference in std::iter::once(&key.secret).chain(&key.previous) {
                let Some(secret) = self.place.secret(reference).await? else { continue };
                if secret.len() >= TOKEN_MIN && same_secret(&secret, token) && found.is_none() {
                    let (scopes, pipelines) = (key.scopes.clone(), key.pipelines.clone());
                    found = Some(Caller { name: name.clone(), scopes, pipelines });
                }
            }
        }
        Ok(found.ok_or_else(|| {
            unauthorized("the token is not one of a key", "Bearer realm=\"cauce\", error=\"invalid_token\"")
        })?)
    }
}

fn unauthorized(detail: &str, challenge: &str) -> Problem {
    let help = "send 'authorization: Bearer TOKEN' with the secret of a key under 'api' in cauce.yaml";
    Problem::new(401, detail, help).header("www-authenticate", challenge)
}

fn token(request: &Request) -> Result<&str, Problem> {
    let given = request.header("authorization").unwrap_or_default();
    let (scheme, token) = given.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(unauthorized("the request has no key", "Bearer realm=\"cauce\""));
    }
    Ok(token.trim())
}
