//! One emulated cloud: its process, what is deployed into it, and the programs that use it.

use crate::api::{ACCOUNT, Api, REGION};
use crate::tools::{Tools, programs, repository};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Every function, by the name of its program.
pub(crate) const FUNCTIONS: [&str; 11] = [
    "trigger-run",
    "open-run",
    "begin-task",
    "expand-map",
    "finish-task",
    "close-run",
    "record-event",
    "sweep",
    "notify",
    "take-tokens",
    "api",
];

/// A cloud, in a folder of its own.
pub(crate) struct Cloud {
    pub(crate) tools: Tools,
    pub(crate) api: Api,
    folder: PathBuf,
    /// Ends with this; absent for a cloud that somebody else serves.
    own: Option<(Child, tempfile::TempDir)>,
}

/// What the file says that a served cloud is known by.
const SERVED: &str = "served.json";

impl Cloud {
    /// Starts one.
    pub(crate) fn start(tools: Tools) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = json!({
            "cauce-worker": [programs().join("cauce-run"), "--"],
        });
        fs::write(folder.path().join("images.json"), images.to_string()).unwrap();
        let mut path = vec![programs()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut launcher = Command::new(&tools.python)
            .arg(repository().join("infra/emulator/launch.py"))
            .args(["--port", "0", "--until-stdin-closes", "--stop-seconds", "2", "--wait-scale", "0.1"])
            .arg("--folder")
            .arg(folder.path().join("cloud"))
            .arg("--images")
            .arg(folder.path().join("images.json"))
            .env("PATH", std::env::join_paths(path).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("launcher.log")).unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(launcher.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: Json = serde_json::from_str(&ready).unwrap_or_else(|error| {
            let log = fs::read_to_string(folder.path().join("launcher.log")).unwrap_or_default();
            panic!("the emulated cloud did not start ({error}): {ready}\n{log}")
        });
        let endpoint = format!("http://127.0.0.1:{}", ready["port"]);
        let path = folder.path().to_owned();
        fs::write(path.join(SERVED), json!({"endpoint": endpoint}).to_string()).unwrap();
        Self { tools, api: Api::new(&endpoint), folder: path, own: Some((launcher, folder)) }
    }

    /// The cloud that another process serves from this folder.
    pub(crate) fn at(folder: &Path, tools: Tools) -> Self {
        let served: Json = serde_json::from_slice(&fs::read(folder.join(SERVED)).unwrap()).unwrap();
        Self {
            tools,
            api: Api::new(served["endpoint"].as_str().unwrap()),
            folder: folder.to_owned(),
            own: None,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file that the launcher writes, one JSON object per line.
    pub(crate) fn lines(&self, name: &str) -> Vec<Json> {
        let text = fs::read_to_string(self.path("cloud").join(name)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What every program needs to find the cloud, and nothing of the caller's own AWS settings.
    fn at_cloud<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_ENDPOINT_URL", self.api.endpoint())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_CONFIG_FILE", self.path("none"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.path("none"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env(
                "PATH",
                std::env::join_paths([&self.programs(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap(),
            )
            .env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
    }

    /// `cauce` in a folder, with the cloud around it.
    pub(crate) fn cauce(&self, folder: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(programs().join("cauce"));
        self.at_cloud(command.args(args).current_dir(folder)).output().unwrap()
    }

    /// `cauce` in a folder, on this machine alone.
    pub(crate) fn cauce_here(&self, folder: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(programs().join("cauce"));
        command.args(args).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
        command.output().unwrap()
    }

    /// `aws`, as a user types it.
    pub(crate) fn aws(&self, args: &[&str]) -> Json {
        let mut command = Command::new(&self.tools.aws);
        let output = self.at_cloud(command.args(args).args(["--output", "json"])).output().unwrap();
        assert!(output.status.success(), "aws {args:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or(Json::Null)
    }

    /// Packages the functions that were built with this test.
    pub(crate) fn package(&self) {
        let out = self.path("functions");
        let mut command = Command::new(&self.tools.python);
        command.arg(repository().join("infra/package.py")).arg("--strip");
        command.arg("--bin-dir").arg(programs()).arg("--out").arg(&out).args(FUNCTIONS);
        must("package.py", &command.output().unwrap());
    }

    /// A folder with the programs that a deployment starts: Terraform and the AWS CLI as they are, and a
    /// stand-in for podman, to which an image is its manifest in the registry.
    fn programs(&self) -> PathBuf {
        let folder = self.path("bin");
        if !folder.is_dir() {
            fs::create_dir(&folder).unwrap();
            for (name, program) in [("terraform", &self.tools.terraform), ("aws", &self.tools.aws)] {
                std::os::unix::fs::symlink(program, folder.join(name)).unwrap();
            }
            fs::write(folder.join("podman"), include_str!("podman.sh")).unwrap();
            fs::set_permissions(folder.join("podman"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    /// An environment in a copy of `terraform/` below a folder, with its state in a bucket of this cloud and
    /// every service at this cloud.
    pub(crate) fn environment(&self, below: &Path, name: &str, variables: &Json) -> PathBuf {
        let root = below.join("terraform");
        copy(&repository().join("terraform"), &root);
        let folder = root.join("environments").join(name);
        let here = override_file(self.api.endpoint(), name);
        fs::write(folder.join("emulator_override.tf.json"), here.to_string()).unwrap();
        fs::write(folder.join("emulator.auto.tfvars.json"), variables.to_string()).unwrap();
        let mirror = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\n",
            self.tools.plugins
        );
        fs::write(self.path("terraform.rc"), mirror).unwrap();
        folder
    }

    /// Runs Terraform in a folder that `environment` made, with what `cauce deploy` builds. Its exit code and
    /// what it said.
    pub(crate) fn terraform(&self, folder: &Path, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(&self.tools.terraform);
        command.args(args).arg("-no-color").current_dir(folder);
        command.env("TF_VAR_build_dir", "../../../project/.cauce/build/dev");
        command.env("TF_VAR_functions_dir", "../../../functions");
        let output = self.at_cloud(&mut command).output().unwrap();
        (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
    }

    /// Terraform's state of an environment.
    pub(crate) fn state(&self, folder: &Path) -> Json {
        let mut command = Command::new(&self.tools.terraform);
        let output = self.at_cloud(command.args(["state", "pull"]).current_dir(folder)).output().unwrap();
        must("terraform state pull", &output);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let Some((launcher, _)) = &mut self.own else {
            return;
        };
        // Its standard input ends too, by which it notices the end of a test that was killed.
        let pid = rustix::process::Pid::from_child(launcher);
        if rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok() {
            drop(launcher.stdin.take());
        }
        if let Err(error) = launcher.wait() {
            eprintln!("the emulated cloud could not be waited for: {error}");
        }
    }
}

/// The bucket of Terraform's states.
pub(crate) const STATES: &str = "states-of-everybody";

/// The key of an environment's state in it; its lock is an object beside it.
pub(crate) fn state_key(environment: &str) -> String {
    format!("ventas/{environment}.tfstate")
}

/// Keeps the state as users do, in a bucket with a lock, and points everything at the cloud.
fn override_file(endpoint: &str, environment: &str) -> Json {
    let services = [
        "apigatewayv2",
        "applicationautoscaling",
        "budgets",
        "cloudwatch",
        "dynamodb",
        "ec2",
        "ecr",
        "ecs",
        "events",
        "iam",
        "kms",
        "lambda",
        "logs",
        "s3",
        "scheduler",
        "secretsmanager",
        "ses",
        "sesv2",
        "sfn",
        "sns",
        "sqs",
        "sts",
    ];
    let endpoints: serde_json::Map<String, Json> =
        services.into_iter().map(|service| (service.to_owned(), Json::from(endpoint))).collect();
    json!({
        "terraform": {"backend": {"s3": {
            "bucket": STATES,
            "key": state_key(environment),
            "region": REGION,
            "use_lockfile": true,
            "use_path_style": true,
            "endpoints": {"s3": endpoint},
            "skip_credentials_validation": true,
            "skip_requesting_account_id": true,
            "skip_metadata_api_check": true,
            "skip_region_validation": true,
        }}},
        "provider": {"aws": {
            "region": REGION,
            "access_key": "test",
            "secret_key": "test",
            "skip_credentials_validation": true,
            "skip_metadata_api_check": true,
            "s3_use_path_style": true,
            "allowed_account_ids": [ACCOUNT],
            "endpoints": [endpoints],
        }},
    })
}

pub(crate) fn must(what: &str, output: &Output) {
    let code = output.status.code();
    assert_eq!(code, Some(0), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            if name != ".terraform" && name != ".cauce" {
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
