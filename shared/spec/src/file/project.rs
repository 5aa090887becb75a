//! The project file, `cauce.yaml`: what pipelines share and refer to by name.

use std::sync::Arc;

use cauce_model::control::Controls;
use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use crate::file::access::Api;
use crate::file::calendar::Calendar;
use crate::file::channel::Channel;
use crate::file::control::{Breaker, RateLimit};
use crate::file::fragment::{PipelineOverrides, Source, TaskTemplate};
use crate::shape::{Argv, Name, Seconds, choice, record};

record! {
    /// Project file: what all pipelines of a project share.
    pub struct Project {
        /// Project: its name, part of the names of what is deployed.
        project: Option<Name> = None;
        /// Description: one sentence.
        description: Option<String> = None;
        /// Environments: where pipelines run, with the values that `env` templates read.
        environments: IndexMap<Name, Environment> = IndexMap::new();
        /// API: who may use the HTTP interface, and for what.
        api: Option<Api> = None;
        /// Images: container images by name.
        images: IndexMap<Name, Image> = IndexMap::new();
        /// Channels: where notices go.
        channels: IndexMap<Name, Channel> = IndexMap::new();
        /// Pools: capacities that tasks take slots of.
        pools: IndexMap<Name, Pool> = IndexMap::new();
        /// Breakers: circuit breakers that tasks share.
        breakers: IndexMap<Name, Breaker> = IndexMap::new();
        /// Rate limits: rates that tasks share.
        rate_limits: IndexMap<Name, RateLimit> = IndexMap::new();
        /// Calendars: days and hours on which something is open, by name.
        calendars: IndexMap<Name, Calendar> = IndexMap::new();
        /// Connections: databases and services, with references to their credentials.
        connections: IndexMap<Name, Json> = IndexMap::new() => later;
        /// Templates: tasks that others fill in, by name; those in the folder `templates` are here too.
        templates: IndexMap<Name, TaskTemplate> = IndexMap::new();
        /// Retention: how long records and logs are kept.
        retention: Option<Seconds> = None => later;
    }
}

impl Project {
    /// The environment taken when none is named.
    pub const LOCAL: &'static str = "local";

    /// A project without a file: nothing is declared, so names of images and channels are not
    /// checked.
    pub fn none() -> Self {
        Self {
            project: None,
            description: None,
            environments: IndexMap::new(),
            api: None,
            images: IndexMap::new(),
            channels: IndexMap::new(),
            pools: IndexMap::new(),
            breakers: IndexMap::new(),
            rate_limits: IndexMap::new(),
            calendars: IndexMap::new(),
            connections: IndexMap::new(),
            templates: IndexMap::new(),
            retention: None,
        }
    }

    /// The figures of its breakers and rate limits.
    pub fn controls(&self) -> Controls {
        Controls {
            breakers: self
                .breakers
                .iter()
                .map(|(name, found)| (name.to_string(), found.settings()))
                .collect(),
            rate_limits: self
                .rate_limits
                .iter()
                .map(|(name, found)| (name.to_string(), found.settings()))
                .collect(),
        }
    }

    /// Says which file the project was read from, so that errors in what pipelines take from it are shown
    /// there. Templates with a file of their own keep it.
    pub fn read_from(&mut self, name: &str, text: &[u8]) {
        let source = Source { name: name.to_owned(), text: String::from_utf8_lossy(text).into_owned() };
        let source = Arc::new(source);
        let templates = self.templates.values_mut().map(|template| &mut template.task);
        let environments = self.environments.values_mut();
        let overrides = environments.flat_map(|found| found.pipelines.values_mut()).map(|found| &mut found.0);
        for fragment in templates.chain(overrides) {
            fragment.source = Arc::clone(&source);
        }
    }

    /// The values of one environment, as `${{ env.x }}` reads them; none where it is not declared.
    /// The environment `local` is always there.
    pub fn env(&self, environment: &str) -> Option<Map<String, Json>> {
        match self.environments.get(environment) {
            Some(found) => {
                Some(found.values.iter().map(|(key, value)| (key.to_string(), value.clone())).collect())
            }
            None if environment == Self::LOCAL => Some(Map::new()),
            None => None,
        }
    }
}

record! {
    /// Environment: one place where pipelines run.
    pub struct Environment {
        /// Account: the AWS account's number.
        account: Option<String> = None;
        /// Region: the AWS region.
        region: Option<String> = None;
        /// Profile: the network profile.
        profile: NetworkProfile = NetworkProfile::Minimal;
        /// Values: what `env` templates read, by name.
        values: IndexMap<Name, Json> = IndexMap::new();
        /// AWS: names of what is deployed, where they are not made from project and environment.
        aws: Option<AwsNames> = None;
        /// Pipelines: what this environment sets anew for a pipeline, by its name.
        pipelines: IndexMap<Name, PipelineOverrides> = IndexMap::new();
        /// New pipelines: whether the triggers of a pipeline that is deployed here for the first time are held back.
        new_pipelines: NewPipelines = NewPipelines::Active;
        /// Terraform: the folder of the root module that deploys this environment, from the folder of the project file.
        terraform: Option<String> = None;
        /// Functions: the folder of the functions' packages, from the folder of the project file.
        functions: Option<String> = None;
    }
}

record! {
    /// AWS names: what a deployed environment consists of. Each is made from `<project>-<environment>` when it is absent.
    pub struct AwsNames {
        /// Name: the prefix of all other names, `<project>-<environment>`.
        name: Option<String> = None;
        /// Table: the store's table.
        table: Option<String> = None;
        /// Documents: the bucket of plans, inputs and large outputs.
        documents: Option<String> = None;
        /// Cluster: the name or ARN of the ECS cluster.
        cluster: Option<String> = None;
        /// Notices: the URL of the queue of notices.
        notices: Option<String> = None;
        /// Triggers: the URL of the queue of events that may start runs.
        triggers: Option<String> = None;
        /// Dead letters: the URL of the queue for what nobody could work on.
        dead_letters: Option<String> = None;
        /// Logs: what the names of the log groups of tasks begin with; the pipeline follows.
        logs: Option<String> = None;
    }
}

choice! {
    /// New pipelines: what their schedules and triggers do at first.
    pub enum NewPipelines {
        /// They start runs.
        Active = "active";
        /// Nothing, until `cauce unpause`.
        Paused = "paused";
    }
}

choice! {
    /// Network profile: which network and keys a deployment has.
    pub enum NetworkProfile {
        /// Nothing billed by the hour.
        Minimal = "minimal";
        /// Private subnets, endpoints and keys of one's own.
        Private = "private";
    }
}

record! {
    /// Image: where a container image is, and what stands for it on one machine.
    pub struct Image {
        /// ECR: repository and tag, such as `cauce-worker:1.0`.
        ecr: Option<String> = None;
        /// Local: the program and first arguments that run it as a process; an empty list runs the command as it is; absent means podman or docker.
        local: Option<Argv> = None;
        /// Build: how `cauce deploy` makes the image before it pushes it to `ecr`; absent means that somebody else does.
        build: Option<ImageBuild> = None;
    }
}

record! {
    /// Image build: what podman or docker build an image from.
    pub struct ImageBuild (short "context") {
        /// Context: the folder that is built, from the folder of the project file.
        context: String;
        /// File: the Dockerfile, from the context.
        file: Option<String> = None;
        /// Arguments: values of the Dockerfile's `ARG`s; never secrets, which stay in the image's history.
        arguments: IndexMap<String, String> = IndexMap::new();
    }
}

record! {
    /// Pool: a capacity.
    pub struct Pool (short "slots") {
        /// Slots: how many there are. Who holds them is kept in one item of the store, which bounds them.
        slots: u32, within 1..=1000;
        /// Description: what they stand for.
        description: Option<String> = None;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_pool_has_one_slot_to_a_thousand() {
        let said = |slots: &str| {
            let (_, found) = crate::check_project(format!("{{pools: {{sftp: {slots}}}}}").as_bytes());
            let told = |found: crate::Diagnostic| {
                format!("{}: {}; {}", found.route, found.message, found.help.unwrap_or_default())
            };
            found.into_iter().map(told).collect::<Vec<_>>()
        };
        assert!(said("1").is_empty() && said("{slots: 1000}").is_empty());
        for (slots, shown) in [
            ("-1", "-1"),
            ("0", "0"),
            ("1001", "1001"),
            ("99999999999", "99999999999"),
            ("99999999999999999999", "too large"),
        ] {
            let said = said(slots);
            assert_eq!(said.len(), 1, "{slots}: {said:?}");
            assert!(said[0].starts_with("pools.sftp") && said[0].contains(shown), "{slots}: {said:?}");
            assert!(said[0].contains("1 to 1000"), "{slots}: {said:?}");
        }
        assert_eq!(said("{slots: many}").len(), 1);
    }
}
