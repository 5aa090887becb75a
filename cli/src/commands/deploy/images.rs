//! Container images: built by podman or docker, pushed to the account's registry.

use std::collections::BTreeSet;

use cauce_model::Json;
use cauce_spec::file::project::{Image, ImageBuild};

use super::Deploy;
use super::program::Program;
use crate::error::Failure;

/// An image to build and push.
pub(super) struct Push {
    /// `repository:tag`, or with a registry in front.
    reference: String,
    build: ImageBuild,
}

/// A reference whose registry is known.
struct Target {
    registry: String,
    repository: String,
    tag: String,
}

impl Target {
    /// Reads `registry/repository:tag`.
    fn parse(whole: &str) -> Option<Self> {
        let (registry, rest) = whole.split_once('/')?;
        let (repository, tag) = rest.rsplit_once(':')?;
        let is_registry = registry.contains(['.', ':']);
        is_registry.then(|| Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }

    fn whole(&self) -> String {
        format!("{}/{}:{}", self.registry, self.repository, self.tag)
    }

    /// Whether the image is in its ECR repository.
    fn is_pushed(&self, aws: &Program, region: &str) -> Result<bool, Failure> {
        let tag = format!("imageTag={}", self.tag);
        let repository =
            ["ecr", "describe-images", "--region", region, "--repository-name", &self.repository];
        aws.succeeds(&[&repository[..], &["--image-ids", &tag]].concat())
    }

    /// The region in the name of an ECR registry: `<account>.dkr.ecr.<region>.amazonaws.com`.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>
    fn ecr_region(&self) -> Option<&str> {
        let (_, rest) = self.registry.split_once(".dkr.ecr.")?;
        rest.split('.').next()
    }
}

impl Deploy<'_> {
    /// The images that the project builds.
    pub(super) fn images(&self) -> Vec<(String, Push)> {
        let of = |(name, image): (&cauce_spec::Name, &Image)| {
            let (reference, build) = (image.ecr.clone()?, image.build.clone()?);
            Some((name.as_str().to_owned(), Push { reference, build }))
        };
        self.folder.project.images.iter().filter_map(of).collect()
    }

    /// Builds and pushes images whose repositories there are; gives the others back.
    pub(super) fn push_images(
        &self,
        images: Vec<(String, Push)>,
        terraform: &Program,
        before: bool,
    ) -> Result<Vec<(String, Push)>, Failure> {
        if images.is_empty() {
            return Ok(images);
        }
        let Some(engine) = self.programs.find("podman").or_else(|| self.programs.find("docker")) else {
            let names: Vec<&str> = images.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Failure::bad_input(format!(
                "neither podman nor docker is on PATH, and {} is to be built",
                names.join(", ")
            ))
            .help("install one, or go on with --skip-images when the images have been pushed"));
        };
        let repositories = self.repositories(terraform)?;
        let (mut left, mut signed_in) = (Vec::new(), BTreeSet::new());
        for (name, image) in images {
            let Some(target) = target(&image.reference, &repositories) else {
                left.push((name, image));
                continue;
            };
            self.push(&name, &image, &target, &engine, &mut signed_in)?;
        }
        if before && !left.is_empty() {
            self.context.output.talk("images whose repositories are new follow once those are made");
        }
        Ok(left)
    }

    /// Tells of images that nobody here builds and that are not in their repository yet: a task of theirs could not
    /// start. What cannot be asked is not told; `cauce doctor` asks too.
    pub(super) fn tell_of_others(&self, terraform: &Program) -> Result<(), Failure> {
        let images = self.folder.project.images.iter();
        let others: Vec<_> = images
            .filter(|(_, image)| image.build.is_none())
            .filter_map(|(name, image)| Some((name, image.ecr.as_deref()?)))
            .collect();
        let Some(aws) = self.programs.find("aws").filter(|_| !others.is_empty()) else { return Ok(()) };
        let repositories = self.repositories(terraform)?;
        for (name, reference) in others {
            let Some(target) = target(reference, &repositories) else { continue };
            let Some(region) = target.ecr_region() else { continue };
            if !target.is_pushed(&aws, region)? {
                self.context.output.talk(&format!(
                    "the image '{name}' has no 'build' and is not there: its tasks cannot start before you push {}",
                    target.whole()
                ));
            }
        }
        Ok(())
    }

    /// URLs of the repositories that the root module made so far, by repository.
    fn repositories(&self, terraform: &Program) -> Result<Vec<(String, String)>, Failure> {
        let chdir = format!("-chdir={}", self.root.display());
        let Some(answer) = terraform.ask(&[&chdir, "output", "-json"])? else { return Ok(Vec::new()) };
        let outputs: Json = serde_json::from_slice(&answer).map_err(|error| Failure::from_error(&error))?;
        Ok(repositories(&outputs))
    }

    fn push(
        &self,
        name: &str,
        image: &Push,
        target: &Target,
        engine: &Program,
        signed_in: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        let whole = target.whole();
        if let Some(region) = target.ecr_region() {
            let aws = self.programs.need("aws", "it signs in to ECR; install the AWS CLI")?;
            if target.is_pushed(&aws, region)? {
                let text = format!("the image '{name}' is there already: {whole}; another needs another tag");
                self.context.output.talk(&text);
                return Ok(());
            }
            if signed_in.insert(target.registry.clone()) {
                let password =
                    aws.ask(&["ecr", "get-login-password", "--region", region])?.ok_or_else(|| {
                        Failure::bad_input("ECR gave no password")
                            .help("are these credentials allowed to push?")
                    })?;
                let login = ["login", "--username", "AWS", "--password-stdin", &target.registry];
                engine.run_with_secret(&login, password.trim_ascii())?;
            }
        }
        let context = self.folder.root.join(&image.build.context);
        if !context.is_dir() {
            return Err(Failure::bad_input(format!(
                "images.{name}.build: there is no folder {}",
                context.display()
            )));
        }
        let file = image.build.file.as_ref().map(|file| context.join(file).display().to_string());
        let arguments: Vec<String> =
            image.build.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let context = context.display().to_string();
        let mut words = vec!["build", "--tag", &whole];
        if let Some(file) = &file {
            words.extend(["--file", file]);
        }
        for argument in &arguments {
            words.extend(["--build-arg", argument]);
        }
        words.push(&context);
        engine.run(&words)?;
        engine.run(&["push", &whole])?;
        self.context.output.talk(&format!("pushed '{name}' with {}: {whole}", engine.name()));
        Ok(())
    }
}

/// The output `repositories` of a root module: a map, or maps in a map (one for each system).
fn repositories(outputs: &Json) -> Vec<(String, String)> {
    let Some(value) = outputs.pointer("/repositories/value").and_then(Json::as_object) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in value {
        match value {
            Json::String(url) => found.push((name.clone(), url.clone())),
            Json::Object(of_system) => found.extend(
                of_system.iter().filter_map(|(name, url)| Some((name.clone(), url.as_str()?.to_owned()))),
            ),
            _ => {}
        }
    }
    found
}

/// Where an image goes: its own registry, or that of its repository.
fn target(reference: &str, repositories: &[(String, String)]) -> Option<Target> {
    if let Some(target) = Target::parse(reference) {
        return Some(target);
    }
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let (_, url) = repositories.iter().find(|(name, _)| name == repository)?;
    Target::parse(&format!("{url}:{tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    #[test]
    fn an_image_goes_to_the_repository_that_terraform_made() {
        let url = format!("{REGISTRY}/shop-dev/sales/loader");
        let outputs = json!({"repositories": {"value": {"sales": {"loader": url}}}});
        let known = repositories(&outputs);
        let target = target("loader:1.2", &known).unwrap();
        assert_eq!(target.whole(), format!("{url}:1.2"));
        assert_eq!(target.ecr_region(), Some("eu-west-1"));
        assert_eq!(target.repository, "shop-dev/sales/loader");
        assert!(super::target("other:1", &known).is_none());
        assert_eq!(
            repositories(&json!({"repositories": {"value": {"loader": url}}})),
            [("loader".into(), url)]
        );
        assert_eq!(repositories(&json!({})), []);
    }

    #[test]
    fn a_whole_reference_is_taken_as_it_is() {
        let target = target("ghcr.io/team/loader:2", &[]).unwrap();
        assert_eq!((target.registry.as_str(), target.ecr_region()), ("ghcr.io", None));
        assert!(Target::parse("team/loader:2").is_none());
    }
}
