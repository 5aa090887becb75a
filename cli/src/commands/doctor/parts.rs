//! Functions, roles and images: what a run needs besides its pipeline.

use std::collections::BTreeMap;
use std::path::Path;

use cauce_aws::inspect::{FunctionShape, ImageId, Inspect, InspectError};
use cauce_model::ids::sha256_base64;

use super::{Report, State};
use crate::commands::FUNCTIONS;

/// Roles by ARN, each with who acts as it.
#[derive(Default)]
pub(super) struct Roles(BTreeMap<String, String>);

impl Roles {
    /// Notes that somebody acts as a role.
    pub(super) fn add(&mut self, arn: &str, who: &str) {
        self.0.entry(arn.to_owned()).or_insert_with(|| who.to_owned());
    }

    /// Whether each is there and may do anything at all. What exactly it may do is compared by Terraform.
    pub(super) async fn check(&self, inspect: &Inspect, fix: &str, report: &mut Report) {
        let (mut problems, mut unseen) = (Vec::new(), None);
        for (arn, who) in &self.0 {
            let name = arn.rsplit('/').next().unwrap_or(arn);
            match inspect.has_policies(name).await {
                Ok(Some(false)) => problems.push(format!("the role {name} of {who} has no policy")),
                Ok(Some(true)) => {}
                Ok(None) => problems.push(format!("there is no role {name}, as which {who} acts")),
                Err(error) => unseen = Some(error),
            }
        }
        if !problems.is_empty() {
            report.bad("roles", State::Fail, problems.join(", "), fix);
        } else if let Some(error) = unseen {
            report.unknown("roles", &error);
        } else if !self.0.is_empty() {
            report.ok("roles", format!("{} of them, each with policies", self.0.len()));
        }
    }
}

/// The functions: there, in use, made from the packages in a folder if there is one.
pub(super) async fn functions(
    prefix: &str,
    packages: &Path,
    inspect: &Inspect,
    fix: &str,
    roles: &mut Roles,
    report: &mut Report,
) {
    let mut seen = Vec::new();
    for name in FUNCTIONS {
        let shape = inspect.function(&format!("{prefix}-{name}")).await;
        if let Ok(Some(shape)) = &shape {
            roles.add(&shape.role, &format!("the function {name}"));
        }
        let package = std::fs::read(packages.join(format!("{name}.zip"))).ok();
        seen.push((name, shape, package.map(sha256_base64)));
    }
    tell(&seen, fix, report);
}

type Seen = (&'static str, Result<Option<FunctionShape>, InspectError>, Option<String>);

fn tell(seen: &[Seen], fix: &str, report: &mut Report) {
    let (mut problems, mut changing, mut other, mut unseen, mut compared) =
        (Vec::new(), Vec::new(), Vec::new(), None, 0);
    for (name, shape, package) in seen {
        match shape {
            Ok(None) => problems.push(format!("there is no function {name}")),
            Ok(Some(shape)) => {
                if shape.state == "Failed" || shape.update == "Failed" {
                    problems.push(format!("{name} cannot be invoked: it is {}", shape.state));
                } else if shape.state == "Pending" || shape.update == "InProgress" {
                    changing.push(*name);
                }
                if let Some(package) = package {
                    compared += 1;
                    if *package != shape.code_sha256 {
                        other.push(*name);
                    }
                }
            }
            Err(error) => unseen = Some(error),
        }
    }
    if !problems.is_empty() {
        report.bad("functions", State::Fail, problems.join(", "), fix);
    } else if let Some(error) = unseen {
        report.unknown("functions", error);
    } else if !changing.is_empty() {
        report.bad(
            "functions",
            State::Warn,
            format!("{} are being updated", changing.join(", ")),
            "look again",
        );
    } else {
        report.ok("functions", format!("all {} are there and active", seen.len()));
    }
    if !other.is_empty() {
        let saw = format!("{} run another build than the packages here", other.join(", "));
        report.bad("functions: build", State::Warn, saw, fix);
    } else if compared == seen.len() {
        report.ok("functions: build", "that of the packages here");
    } else if unseen.is_none() {
        // Packages are where a deployment was made from; a doctor may be asked anywhere.
        let saw = "there are no packages here to compare with";
        report.bad(
            "functions: build",
            State::Unknown,
            saw,
            "environments.<name>.functions names their folder",
        );
    }
}

/// An image of the account's own registry: its repository and how it is named there.
fn own<'a>(image: &'a str, account: &str, region: &str) -> Option<(&'a str, ImageId<'a>)> {
    let (registry, rest) = image.split_once('/')?;
    if !registry.starts_with(&format!("{account}.dkr.ecr.{region}.")) {
        return None;
    }
    if let Some((repository, digest)) = rest.split_once('@') {
        return Some((repository, ImageId::Digest(digest)));
    }
    Some(match rest.rsplit_once(':') {
        Some((repository, tag)) => (repository, ImageId::Tag(tag)),
        None => (rest, ImageId::Tag("latest")),
    })
}

/// Whether the images of what is deployed are pushed.
pub(super) async fn images<'a>(
    images: impl Iterator<Item = &'a String>,
    (account, region): (&str, &str),
    inspect: &Inspect,
    fix: &str,
    report: &mut Report,
) {
    let (mut missing, mut elsewhere, mut unseen, mut pushed) = (Vec::new(), Vec::new(), None, 0);
    for image in images {
        let Some((repository, id)) = own(image, account, region) else {
            elsewhere.push(image.as_str());
            continue;
        };
        match inspect.image(repository, id).await {
            Ok(true) => pushed += 1,
            Ok(false) => missing.push(image.as_str()),
            Err(error) => unseen = Some(error),
        }
    }
    if !missing.is_empty() {
        report.bad("images", State::Fail, format!("not pushed: {}", missing.join(", ")), fix);
    } else if let Some(error) = unseen {
        report.unknown("images", &error);
    } else if pushed > 0 {
        report.ok("images", format!("{pushed} of them, all pushed"));
    }
    if !elsewhere.is_empty() {
        let saw = format!("of another registry: {}", elsewhere.join(", "));
        report.bad("images elsewhere", State::Unknown, saw, "only this account's own registry is looked at");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(state: &str, code: &str) -> Result<Option<FunctionShape>, InspectError> {
        let (update, role) = ("Successful".to_owned(), "arn:role".to_owned());
        Ok(Some(FunctionShape { state: state.into(), update, code_sha256: code.into(), role }))
    }

    fn told(seen: &[Seen]) -> Vec<(String, State)> {
        let mut report = Report(Vec::new());
        tell(seen, "deploy", &mut report);
        report.0.into_iter().map(|check| (check.name, check.state)).collect()
    }

    #[test]
    fn functions_are_there_active_and_of_the_packages_here() {
        let package = || Some("a".to_owned());
        let both =
            |state: State, build: State| [("functions".into(), state), ("functions: build".into(), build)];
        assert_eq!(told(&[("sweep", shape("Active", "a"), package())]), both(State::Ok, State::Ok));
        assert_eq!(told(&[("sweep", shape("Active", "b"), package())]), both(State::Ok, State::Warn));
        assert_eq!(told(&[("sweep", shape("Pending", "a"), None)]), both(State::Warn, State::Unknown));
        assert_eq!(told(&[("sweep", shape("Failed", "a"), package())]), both(State::Fail, State::Ok));
        assert_eq!(told(&[("sweep", Ok(None), package())])[0], ("functions".into(), State::Fail));
        let unseen = Err(InspectError("no".into()));
        assert_eq!(told(&[("sweep", unseen, package())]), [("functions".into(), State::Unknown)]);
    }

    #[test]
    fn only_images_of_the_own_registry_are_looked_for() {
        let registry = "1.dkr.ecr.eu-west-1.amazonaws.com";
        let (tagged, exact) = (format!("{registry}/a/b:1.2"), format!("{registry}/a@sha256:0"));
        let own = |image| own(image, "1", "eu-west-1");
        assert_eq!(own(&tagged).unwrap(), ("a/b", ImageId::Tag("1.2")));
        assert_eq!(own(&exact).unwrap(), ("a", ImageId::Digest("sha256:0")));
        assert_eq!(own("2.dkr.ecr.eu-west-1.amazonaws.com/a:1"), None);
        assert_eq!(own("python:3"), None);
    }
}
