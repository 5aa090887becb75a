//! `cauce sync`: the items of matrices become those of their files. No deployment, no new version.

use cauce_driver::Synced;
use cauce_engine::matrix::{Difference, Listed};
use cauce_spec::{Items, MatrixItem};
use serde_json::{Value as Json, json};

use crate::args::SyncArgs;
use crate::context::Context;
use crate::engine::{Actor, deploy_here, deployed};
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table, Tone};
use crate::project::{self, Loaded, ProjectFolder};

/// Most keys of one pipeline that are shown.
const SHOWN_MAX: usize = 50;

/// `cauce sync`
pub(crate) fn sync(args: &SyncArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let mut loaded = Vec::new();
    match &args.pipeline {
        Some(name) => {
            let one = project::find_pipeline(name, &folder, context)?;
            if one.compiled.plan.matrix.is_none() {
                return Err(Failure::bad_input(format!(
                    "{name} has no matrix, so there is nothing to synchronise"
                ))
                .help("'matrix: {as: ..., from: ..., key: ...}' runs a pipeline for each item of a list"));
            }
            loaded.push(one);
        }
        None => {
            for found in folder.pipelines()? {
                let one = project::find_pipeline(&found.name, &folder, context)?;
                loaded.extend(Some(one).filter(|one| one.compiled.plan.matrix.is_some()));
            }
        }
    }
    if loaded.is_empty() {
        context.output.talk("no pipeline of the project has a matrix");
        return Ok(Exit::Good);
    }
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    let mut documents = Vec::new();
    let mut table = Table::new(["PIPELINE", "ITEM", "WHAT", "COLUMNS"]);
    context.block_on(async {
        for one in &loaded {
            match &actor {
                Actor::Here(local) => deploy_here(local, one).await?,
                Actor::There(_) => {
                    deployed(&actor.store()?, &one.compiled.plan.pipeline, context).await?;
                }
            }
            let found = apply(&actor, one, args.dry_run, context).await?;
            let name = one.compiled.plan.pipeline.as_str();
            documents.push(document(name, &found));
            rows(name, &found, &mut table);
            let would = if args.dry_run { "would be " } else { "" };
            context.output.talk(&format!("{name}: {}", words(&found, would)));
        }
        Ok::<_, Failure>(())
    })?;
    if context.json {
        context.output.json(&documents)?;
    } else {
        context.output.table(&table)?;
    }
    Ok(Exit::Good)
}

/// What a deployment ends with: the items of matrices are those of the files it was made of.
///
/// # Errors
/// The store does not answer.
pub(super) fn after_deploy(folder: &ProjectFolder, context: &Context) -> Result<(), Failure> {
    let mut loaded = Vec::new();
    for found in folder.pipelines()? {
        let one = project::find_pipeline(&found.name, folder, context)?;
        loaded.extend(Some(one).filter(|one| one.compiled.plan.matrix.is_some()));
    }
    if loaded.is_empty() {
        return Ok(());
    }
    let actor = Actor::open(folder, context, Box::new(|_, _| {}))?;
    context.block_on(async {
        for one in &loaded {
            let found = apply(&actor, one, false, context).await?;
            context.output.talk(&format!("items of {}: {}", one.compiled.plan.pipeline, words(&found, "")));
        }
        Ok(())
    })
}

/// Makes the stored items of a pipeline those of its file.
///
/// # Errors
/// The store does not answer, or what is deployed has another matrix.
pub(crate) async fn apply(
    actor: &Actor,
    loaded: &Loaded,
    dry_run: bool,
    context: &Context,
) -> Result<Difference, Failure> {
    let plan = &loaded.compiled.plan;
    let Some(matrix) = &plan.matrix else { return Ok(Difference::default()) };
    let wanted = loaded.items.as_ref().map(listed).unwrap_or_default();
    let by = if dry_run { String::new() } else { actor.by(context).await? };
    let synced = match actor {
        Actor::Here(local) => {
            local.host.driver().sync(&plan.pipeline, matrix, &wanted, Some(&by), dry_run).await?
        }
        Actor::There(there) => {
            there.driver().sync(&plan.pipeline, matrix, &wanted, Some(&by), dry_run).await?
        }
    };
    match synced {
        Synced::Done(found) => Ok(found),
        Synced::Refused(cause) => Err(Failure::bad_input(cause)
            .help(format!("'cauce deploy{}' deploys what the file says", context.env_option()))),
    }
}

/// The items of a list, as the engine takes them.
pub(crate) fn listed(items: &Items) -> Vec<Listed> {
    let one = |item: &MatrixItem| Listed {
        key: item.key.clone(),
        case: item.case.clone(),
        fields: item.fields.clone(),
    };
    items.items.iter().map(one).collect()
}

fn words(found: &Difference, would: &str) -> String {
    let (added, changed, removed) = (found.added.len(), found.changed.len(), found.removed.len());
    if added + changed + removed == 0 {
        return "nothing differs".to_owned();
    }
    format!("{added} {would}added, {changed} changed, {removed} removed")
}

fn document(pipeline: &str, found: &Difference) -> Json {
    let changed = found.changed.iter().map(|(key, columns)| json!({"item": key, "columns": columns}));
    json!({
        "pipeline": pipeline, "added": found.added, "changed": changed.collect::<Vec<_>>(),
        "removed": found.removed,
    })
}

fn rows(pipeline: &str, found: &Difference, table: &mut Table) {
    let added = found.added.iter().map(|key| (key, "added", Tone::Good, String::new()));
    let changed =
        found.changed.iter().map(|(key, columns)| (key, "changed", Tone::Plain, columns.join(", ")));
    let removed = found.removed.iter().map(|key| (key, "removed", Tone::Bad, String::new()));
    let all = found.added.len() + found.changed.len() + found.removed.len();
    for (key, what, tone, columns) in added.chain(changed).chain(removed).take(SHOWN_MAX) {
        table.row([
            Cell::new(pipeline, Tone::Plain),
            Cell::new(key.clone(), Tone::Plain),
            Cell::new(what, tone),
            Cell::new(columns, Tone::Faint),
        ]);
    }
    if all > SHOWN_MAX {
        let more = format!("and {} more; --json tells all", all - SHOWN_MAX);
        table.row([
            Cell::new(pipeline, Tone::Plain),
            Cell::new(more, Tone::Faint),
            Cell::new("", Tone::Plain),
            Cell::new("", Tone::Plain),
        ]);
    }
}
