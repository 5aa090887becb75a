//! `cauce deploy`: the project's pipelines to a deployed environment: checks, build, images, Terraform.
//!
//! Every program is started by its arguments, never through a shell, and its line is shown before it
//! runs. Secrets go to a program's standard input.

mod folders;

mod images;

mod others;

mod program;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use cauce_spec::file::project::Environment;

use self::folders::Folders;
use self::program::{Program, Programs};
use super::build::build_into;
use crate::args::DeployArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::project::{PROJECT_FILE, ProjectFolder, shown};
use crate::there::declared;

/// Exit code of `terraform plan -detailed-exitcode` when there is something to do.
/// <https://developer.hashicorp.com/terraform/cli/commands/plan>
const PLAN_HAS_CHANGES: i32 = 2;

/// The root module's variables that name folders: of the build, and of the functions' packages.
const BUILD_DIR: &str = "build_dir";
const FUNCTIONS_DIR: &str = "functions_dir";

/// The root module's variable for the share of new runs that a canary takes.
const CANARY_PERCENT: &str = "canary_percent";

/// What a deployment is made from.
pub(super) struct Deploy<'a> {
    context: &'a Context,
    folder: ProjectFolder,
    /// The Terraform root module.
    root: PathBuf,
    folders: Folders,
    programs: Programs<'a>,
    /// What the root module is told on the command line.
    variables: Vec<String>,
}

pub(crate) fn deploy(args: &DeployArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let environment = declared(&folder, &context.env)?;
    if !(args.dry_run || args.yes || std::io::stdin().is_terminal()) {
        return Err(Failure::bad_input("nobody is there to approve the plan: standard input is no terminal")
            .help("--yes applies without asking, --dry-run stops after the plan"));
    }
    let folders = Folders::new(&folder.state_dir, &context.env);
    let _turn = others::turn(&folders.lock(), &context.env)?;
    let root = root(&folder, environment, context)?;
    let functions = functions(args, &folder, environment, context)?;
    let mut variables = variables(&root, &folders.build, &functions, context)?;
    if let Some(percent) = args.canary {
        // A root module that does not declare it is told so by Terraform.
        variables.push(format!("-var={CANARY_PERCENT}={percent}"));
    }
    let programs = Programs::new(context);
    let terraform =
        programs.need("terraform", "install it (https://developer.hashicorp.com/terraform/install)")?;
    let deploy = Deploy { context, folder, root, folders, programs, variables };
    deploy.prepare(args)?;
    deploy.carry_out(args, &terraform)
}

impl Deploy<'_> {
    /// Fills the build folder: with what the files compile to, or with the build before the last.
    fn prepare(&self, args: &DeployArgs) -> Result<(), Failure> {
        let context = self.context;
        if args.rollback {
            context.output.talk(&format!("the build before the last: {}", self.folders.previous.display()));
            return self.folders.restore_previous();
        }
        let found = self.folder.pipelines()?;
        if found.is_empty() {
            return Err(Failure::bad_input(format!(
                "no file below {} defines a pipeline",
                self.folder.root.display()
            )));
        }
        let files: Vec<PathBuf> = found.into_iter().map(|found| found.path).collect();
        self.folders.clear_build()?;
        let built = build_into(&files, &self.folders.build, context)?;
        let place = shown(&self.folders.build, context);
        let count = super::check::count(built.len() as u64, "pipeline");
        context.output.talk(&format!("{count} checked and built into {place}"));
        Ok(())
    }

    fn carry_out(&self, args: &DeployArgs, terraform: &Program) -> Result<Exit, Failure> {
        let output = &self.context.output;
        let chdir = format!("-chdir={}", self.root.display());
        let env = &self.context.env;
        let plain = (!output.talk_colour()).then_some("-no-color");
        let mut init = vec![&*chdir, "init", "-input=false"];
        init.extend(plain);
        let backend = format!("-backend-config={env}.tfbackend");
        if self.root.join(format!("{env}.tfbackend")).is_file() {
            // One root module for several environments: each has its own state.
            init.extend(["-reconfigure", &backend]);
        }
        terraform.run(&init)?;
        let with_images = !args.skip_images && !args.rollback;
        let mut left = Vec::new();
        if with_images && !args.dry_run {
            left = self.push_images(self.images(), terraform, true)?;
        }
        let plan = self.folders.plan();
        let out = format!("-out={}", plan.display());
        let mut plan_args = vec![&*chdir, "plan", "-input=false", "-detailed-exitcode", &out];
        let wait = args.lock_timeout.as_ref().map(|wait| format!("-lock-timeout={wait}"));
        plan_args.extend(wait.as_deref());
        plan_args.extend(plain);
        let values = format!("-var-file={env}.tfvars");
        if self.root.join(format!("{env}.tfvars")).is_file() {
            plan_args.push(&values);
        }
        plan_args.extend(self.variables.iter().map(String::as_str));
        let planned = terraform.end(&plan_args)?;
        let changes = match planned.code {
            0 => false,
            PLAN_HAS_CHANGES => true,
            _ => return Err(terraform.failed(&planned)),
        };
        if args.dry_run {
            output.talk("stopped after the plan (--dry-run); nothing was changed");
            return Ok(Exit::Good);
        }
        if changes {
            if !args.yes && !approved()? {
                output.talk("nothing was applied");
                return Ok(Exit::Good);
            }
            let plan = plan.display().to_string();
            let mut apply_args = vec![&*chdir, "apply", "-input=false"];
            apply_args.extend(wait.as_deref());
            apply_args.extend(plain);
            apply_args.push(&plan);
            terraform.run(&apply_args)?;
        } else {
            output.talk("nothing to apply: what is deployed is as the files say");
        }
        if with_images {
            let left = self.push_images(left, terraform, false)?;
            if let Some((name, _)) = left.first() {
                return Err(Failure::bad_input(format!(
                    "the image '{name}' was not pushed: {} has no output 'repositories' with its repository",
                    self.root.display()
                ))
                .help("add: output \"repositories\" { value = module.pipelines.repositories }"));
            }
            self.tell_of_others(terraform)?;
        }
        if args.rollback {
            self.folders.swap()?
        } else {
            self.folders.keep()?
        }
        if !args.rollback {
            super::sync::after_deploy(&self.folder, self.context)?;
        }
        output.talk(&format!(
            "deployed to '{}'; 'cauce doctor --env {}' looks whether all is well",
            self.context.env, self.context.env
        ));
        Ok(Exit::Good)
    }
}

/// Asks, on the terminal.
fn approved() -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::from_error(&error);
    let mut err = std::io::stderr().lock();
    err.write_all(b"apply this plan? only 'yes' does: ").and_then(|()| err.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim() == "yes")
}

/// The Terraform root module of an environment: what `cauce.yaml` names, else one of its own, else the
/// one that `cauce init` makes for all.
fn root(folder: &ProjectFolder, environment: &Environment, context: &Context) -> Result<PathBuf, Failure> {
    let own = folder.root.join("terraform/environments").join(&context.env);
    let place = match &environment.terraform {
        Some(place) => folder.root.join(place),
        None if own.is_dir() => own,
        None => folder.root.join("terraform"),
    };
    let is_root = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|ending| ending == "tf"))
    };
    if is_root(&place) {
        return Ok(place);
    }
    Err(Failure::bad_input(format!("{} holds no Terraform files", shown(&place, context))).help(format!(
        "name the folder of the root module as environments.{}.terraform in {PROJECT_FILE}; 'cauce init' shows one",
        context.env
    )))
}

/// What the root module is told: where the build is and, if it deploys them, the functions. On the
/// command line, by paths from the root module, where it counts more than what `terraform.tfvars` may say about another folder.
/// <https://developer.hashicorp.com/terraform/language/values/variables#variable-definition-precedence>
fn variables(root: &Path, build: &Path, functions: &Path, context: &Context) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| Failure::file("read", root, &error);
    let mut text = String::new();
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "tf") {
            text.push_str(
                &std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?,
            );
        }
    }
    // Terraform refuses values for variables that a root module does not declare.
    let declares = |name: &str| text.contains(&format!("variable \"{name}\""));
    if !declares(BUILD_DIR) {
        return Err(Failure::bad_input(format!(
            "{} declares no variable '{BUILD_DIR}', so it cannot be told what to deploy",
            shown(root, context)
        ))
        .help(format!("add: variable \"{BUILD_DIR}\" {{ type = string }}, and hand it to the modules")));
    }
    let given = [(BUILD_DIR, build), (FUNCTIONS_DIR, functions)];
    let given = given.into_iter().filter(|(name, _)| declares(name));
    Ok(given.map(|(name, place)| format!("-var={name}={}", folders::from(root, place).display())).collect())
}

/// Where the functions' packages are, as `cauce.yaml` says it.
pub(super) fn packages(folder: &ProjectFolder, environment: &Environment) -> PathBuf {
    folder.root.join(environment.functions.as_deref().unwrap_or("functions"))
}

/// The folder of the functions' packages: the one named on the command line, else that of the project.
fn functions(
    args: &DeployArgs,
    folder: &ProjectFolder,
    environment: &Environment,
    context: &Context,
) -> Result<PathBuf, Failure> {
    let place = match &args.functions {
        Some(place) => context.absolute(place),
        None => packages(folder, environment),
    };
    let missing: Vec<&str> =
        super::FUNCTIONS.into_iter().filter(|name| !place.join(format!("{name}.zip")).is_file()).collect();
    if missing.is_empty() {
        return Ok(place);
    }
    Err(Failure::bad_input(format!("{} lacks {}.zip", shown(&place, context), missing.join(".zip, "))).help(
        format!(
            "name the folder of the functions' packages with --functions, or as environments.{}.functions in \
             {PROJECT_FILE}; they are part of each release of cauce ('make package' makes them from source)",
            context.env
        ),
    ))
}
