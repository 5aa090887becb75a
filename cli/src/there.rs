//! A deployed environment: where it is, and decisions against it.
//!
//! The decisions are those of the functions, by the same driver over the same ports; only the
//! credentials differ: the caller's own.

use std::cell::OnceCell;
use std::fmt;

use cauce_aws::{Adapters, AdaptersError, Connect, Connection};
use cauce_driver::{Driver, DriverError, Ports, payload};
use cauce_engine::command::Event;
use cauce_engine::{Command, Decision, Patience, Reply, Settings};
use cauce_model::Instant;
use cauce_spec::Project;
use cauce_spec::file::project::{AwsNames, Environment as Declared};

use crate::context::Context;
use crate::error::Failure;
use crate::output::Output;
use crate::project::{PROJECT_FILE, ProjectFolder};

/// A deployed environment, reached with the caller's credentials.
pub(crate) struct There {
    driver: Driver<Outside>,
    names: Names,
    /// What `--env` calls it.
    env: String,
    by: OnceCell<String>,
}

/// What an environment's parts are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Names {
    /// `<project>-<environment>`: the prefix of all names.
    pub(crate) prefix: String,
    /// The account's number.
    pub(crate) account: String,
    /// The region.
    pub(crate) region: String,
    /// The DynamoDB table of the store.
    pub(crate) table: String,
    /// The bucket of documents.
    pub(crate) bucket: String,
    /// The ARN of the cluster.
    pub(crate) cluster: String,
    /// The URL of the queue of notices.
    pub(crate) notices: String,
    /// The URL of the queue of events that may start runs.
    pub(crate) triggers: String,
    /// The URL of the queue of dead letters.
    pub(crate) dead_letters: String,
    /// What the names of the pipelines' log groups begin with; the pipeline follows.
    pub(crate) logs: String,
}

/// The ports of the command line on AWS.
pub(crate) struct Outside {
    adapters: Adapters,
    output: Output,
}

impl Ports for Outside {
    type Services = Adapters;

    fn services(&self) -> &Adapters {
        &self.adapters
    }

    /// This process is gone before a timer rings: what is due lies in the store's due list, where the
    /// sweep finds it.
    fn at(&self, _at: Instant, _command: Command) {}

    async fn post(&self, event: &Event) {
        let Some(body) = payload::posted(event) else { return };
        if let Err(error) = self.adapters.triggers().send(&body).await {
            self.output.warn(&error.to_string());
        }
    }

    fn decided(&self, _command: &Command, _decision: &Decision) {}

    fn warn(&self, message: &str) {
        self.output.warn(message);
    }
}

impl fmt::Debug for There {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("There").field("names", &self.names).finish_non_exhaustive()
    }
}

impl There {
    /// Reaches the environment that `--env` names, as `cauce.yaml` declares it. The only service
    /// asked is STS, and only when the account's number is not declared.
    ///
    /// # Errors
    /// It is not declared, no region is known, or the credentials are not accepted.
    pub(crate) fn connect(context: &Context) -> Result<Self, Failure> {
        let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
        let env = context.env.as_str();
        let declared = declared(&folder, env)?;
        let project = folder.project.project.as_ref().map(|name| name.as_str().to_owned());
        let variables = &context.environment.aws;
        let endpoint = variables.get("AWS_ENDPOINT_URL").filter(|url| !url.is_empty()).cloned();
        let connect = Connect { region: declared.region.clone(), ..Connect::default() };
        context.block_on(async {
            let connection = Connection::open(connect).await.map_err(|error| {
                Failure::bad_input(format!("the environment '{env}': {error}"))
                    .help(format!("or add 'region' under environments.{env} in {PROJECT_FILE}"))
            })?;
            let mut by = None;
            let account = match &declared.account {
                Some(account) => account.clone(),
                None => {
                    let arn = identity(&connection).await?;
                    let account = account_of(&arn).map(str::to_owned);
                    by = Some(arn);
                    account.ok_or_else(|| Failure::system("the caller's ARN names no account"))?
                }
            };
            let names = Names::new(
                project.as_deref(),
                env,
                account,
                connection.region().to_owned(),
                declared.aws.as_ref(),
                endpoint.as_deref(),
            )?;
            let environment = cauce_aws::Environment {
                name: names.prefix.clone(),
                table: names.table.clone(),
                documents: format!("s3://{}", names.bucket),
                cluster: names.cluster.clone(),
                notices: names.notices.clone(),
                triggers: names.triggers.clone(),
                dead_letters: names.dead_letters.clone(),
                log: "info".to_owned(),
            };
            let documents = environment.documents.clone();
            let adapters = Adapters::new(environment, connection).map_err(|error| unusable(&error))?;
            // What differs from run to run (values, network, machines) is in the deployment that a
            // run is pinned to.
            let settings = Settings {
                documents,
                cluster: names.cluster.clone(),
                patience: Patience::SCHEDULER,
                ..Settings::default()
            };
            let driver = Driver::new(Outside { adapters, output: context.output }, settings);
            let known = OnceCell::new();
            if let Some(by) = by {
                known.get_or_init(|| by);
            }
            Ok(Self { driver, names, env: env.to_owned(), by: known })
        })
    }

    /// Carries out decisions.
    pub(crate) const fn driver(&self) -> &Driver<Outside> {
        &self.driver
    }

    /// The services.
    pub(crate) fn adapters(&self) -> &Adapters {
        self.driver.services()
    }

    /// What the parts are called.
    pub(crate) const fn names(&self) -> &Names {
        &self.names
    }

    /// What a command that is named to somebody needs besides, to act there.
    pub(crate) fn env_option(&self) -> String {
        format!(" --env {}", self.env)
    }

    /// Below which URI documents lie.
    pub(crate) fn documents(&self) -> &str {
        &self.driver.settings().documents
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// A service that does not answer, or refuses.
    pub(crate) async fn execute(&self, command: &Command) -> Result<Reply, DriverError> {
        self.driver.execute(command).await
    }

    /// Who asks: the caller's ARN.
    ///
    /// # Errors
    /// Credentials that AWS does not accept, or that are of another account than the environment's.
    pub(crate) async fn by(&self) -> Result<String, Failure> {
        if let Some(by) = self.by.get() {
            return Ok(by.clone());
        }
        let arn = identity(self.adapters().connection()).await?;
        if let Some(account) = account_of(&arn).filter(|account| *account != self.names.account) {
            return Err(Failure::bad_input(format!(
                "these credentials are of account {account}, the environment is in {}",
                self.names.account
            ))
            .help("choose another profile (AWS_PROFILE), or correct the account in cauce.yaml"));
        }
        Ok(self.by.get_or_init(|| arn).clone())
    }
}

/// An environment as the project file declares it.
///
/// # Errors
/// It does not; near names are offered.
pub(crate) fn declared<'a>(folder: &'a ProjectFolder, env: &str) -> Result<&'a Declared, Failure> {
    // The values are not wanted here: this says which names there are.
    folder.values(env)?;
    let declared = folder.project.environments.get(env).filter(|_| env != Project::LOCAL);
    declared.ok_or_else(|| {
        Failure::bad_input(format!("'{env}' is this machine, not a deployed environment"))
            .help("name one of 'environments' in cauce.yaml with --env")
    })
}

async fn identity(connection: &Connection) -> Result<String, Failure> {
    cauce_aws::identity::identity(connection).await.map_err(|error| {
        Failure::bad_input(error.to_string())
            .help("sign in (aws sso login, AWS_PROFILE, AWS_ACCESS_KEY_ID), then try again")
    })
}

fn unusable(error: &AdaptersError) -> Failure {
    Failure::from_error(error)
}

/// The account's number in an ARN: its fifth part.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// The first part of ARNs in a region, and the domain of its services.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
fn partition(region: &str) -> (&'static str, &'static str) {
    if region.starts_with("cn-") {
        ("aws-cn", "amazonaws.com.cn")
    } else if region.starts_with("us-gov-") {
        ("aws-us-gov", "amazonaws.com")
    } else {
        ("aws", "amazonaws.com")
    }
}

impl Names {
    /// The names that Terraform gives, where `cauce.yaml` says nothing else.
    ///
    /// # Errors
    /// Neither a project nor a prefix is named.
    pub(crate) fn new(
        project: Option<&str>,
        env: &str,
        account: String,
        region: String,
        other: Option<&AwsNames>,
        endpoint: Option<&str>,
    ) -> Result<Self, Failure> {
        let other = other.cloned().unwrap_or(AwsNames {
            name: None,
            table: None,
            documents: None,
            cluster: None,
            notices: None,
            triggers: None,
            dead_letters: None,
            logs: None,
        });
        let prefix = match (other.name, project) {
            (Some(name), _) => name,
            // Names on AWS have hyphens where ours may have underscores.
            (None, Some(project)) => format!("{project}-{env}").replace('_', "-"),
            (None, None) => {
                return Err(Failure::bad_input(format!(
                    "{PROJECT_FILE} names no project, so what is deployed to '{env}' has no known name"
                ))
                .help("add 'project: NAME'; names begin with <project>-<environment>"));
            }
        };
        let (arns, domain) = partition(&region);
        let queues = match endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://sqs.{region}.{domain}"),
        };
        let queue = |name: &str| format!("{queues}/{account}/{prefix}-{name}");
        let cluster = other.cluster.unwrap_or_else(|| prefix.clone());
        let cluster = match cluster.starts_with("arn:") {
            true => cluster,
            false => format!("arn:{arns}:ecs:{region}:{account}:cluster/{cluster}"),
        };
        Ok(Self {
            table: other.table.unwrap_or_else(|| format!("{prefix}-store")),
            bucket: other.documents.unwrap_or_else(|| format!("{prefix}-documents-{account}")),
            notices: other.notices.unwrap_or_else(|| queue("notices")),
            triggers: other.triggers.unwrap_or_else(|| queue("triggers")),
            dead_letters: other.dead_letters.unwrap_or_else(|| queue("dead-letters")),
            logs: other.logs.unwrap_or_else(|| format!("/cauce/{prefix}")),
            cluster,
            prefix,
            account,
            region,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn names(region: &str, endpoint: Option<&str>) -> Names {
        Names::new(Some("shop"), "dev", "123456789012".into(), region.into(), None, endpoint).unwrap()
    }

    #[test]
    fn names_are_made_from_project_and_environment() {
        let names = names("eu-west-1", None);
        assert_eq!(names.table, "shop-dev-store");
        assert_eq!(names.bucket, "shop-dev-documents-123456789012");
        assert_eq!(names.cluster, "arn:aws:ecs:eu-west-1:123456789012:cluster/shop-dev");
        assert_eq!(names.notices, "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-dev-notices");
    }

    #[test]
    fn other_partitions_have_other_arns_and_domains() {
        let china = names("cn-north-1", None);
        assert!(china.cluster.starts_with("arn:aws-cn:"), "{china:?}");
        assert!(china.notices.starts_with("https://sqs.cn-north-1.amazonaws.com.cn/"), "{china:?}");
        assert!(names("us-gov-west-1", None).cluster.starts_with("arn:aws-us-gov:"));
    }

    #[test]
    fn an_emulator_has_its_own_queues() {
        let names = names("us-east-1", Some("http://127.0.0.1:4566/"));
        assert_eq!(names.dead_letters, "http://127.0.0.1:4566/123456789012/shop-dev-dead-letters");
    }

    #[test]
    fn without_a_project_nothing_has_a_name_unless_a_prefix_is_given() {
        let new =
            |other: Option<&AwsNames>| Names::new(None, "dev", "1".into(), "eu-west-1".into(), other, None);
        let failure = new(None).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
        assert!(failure.message.contains("names no project"), "{failure:?}");
        let other = AwsNames {
            name: Some("lake".into()),
            table: Some("elsewhere".into()),
            documents: None,
            cluster: Some("arn:aws:ecs:eu-west-1:1:cluster/shared".into()),
            notices: None,
            triggers: None,
            dead_letters: None,
            logs: None,
        };
        let names = new(Some(&other)).unwrap();
        assert_eq!((names.prefix.as_str(), names.table.as_str()), ("lake", "elsewhere"));
        assert_eq!(names.cluster, "arn:aws:ecs:eu-west-1:1:cluster/shared");
    }

    #[test]
    fn an_arn_tells_its_account() {
        assert_eq!(account_of("arn:aws:sts::123456789012:assumed-role/ops/ana"), Some("123456789012"));
        assert_eq!(account_of("ana"), None);
        assert_eq!(account_of("arn:aws:s3:::bucket"), None);
    }
}
