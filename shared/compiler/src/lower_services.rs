//! The service kinds of a file to the plan's.

use std::collections::BTreeMap;

use cauce_model::Json;
use cauce_model::services::{
    AthenaPlan, BatchPlan, CallPlan, EmrServerlessPlan, GluePlan, HttpPlan, LambdaPlan, Service,
    StateMachinePlan,
};
use cauce_spec::file::services::{EmrServerless, Method};
use cauce_spec::{Argv, Kind, Task};
use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;
use serde_json::{Map, json};

/// The plan of a task that another service does; `None` for the other kinds.
pub(crate) fn call(task: &Task) -> Option<CallPlan> {
    let service = service(&task.kind)?;
    let local = task.settings.local.as_ref().map(|local| argv(&local.command));
    Some(CallPlan { service, local })
}

fn service(kind: &Kind) -> Option<Service> {
    Some(match kind {
        Kind::Lambda(lambda) => Service::Lambda(LambdaPlan {
            function: text(&lambda.function),
            payload: lambda.payload.as_ref().map(TemplateValue::to_json),
            qualifier: lambda.qualifier.as_ref().map(text),
        }),
        Kind::Glue(glue) => Service::Glue(GluePlan {
            job: text(&glue.job),
            arguments: texts(&glue.arguments),
            worker_type: glue.worker_type.as_ref().map(text),
            workers: glue.workers,
        }),
        Kind::EmrServerless(job) => Service::EmrServerless(EmrServerlessPlan {
            application: text(&job.application),
            role: text(&job.role),
            job_driver: job_driver(job),
            configuration: job.configuration.as_ref().map(TemplateValue::to_json),
        }),
        Kind::Batch(batch) => Service::Batch(BatchPlan {
            job_definition: text(&batch.job_definition),
            queue: text(&batch.queue),
            parameters: texts(&batch.parameters),
            command: argv(&batch.command),
            env: texts(&batch.env),
        }),
        Kind::Athena(athena) => Service::Athena(AthenaPlan {
            query: athena.query.clone(),
            params: athena.params.iter().map(TemplateValue::to_json).collect(),
            workgroup: athena.workgroup.as_ref().map(text),
            database: athena.database.as_ref().map(text),
            catalog: athena.catalog.as_ref().map(text),
            output: athena.output.as_ref().map(text),
        }),
        Kind::Http(http) => Service::Http(HttpPlan {
            method: method(http.method).to_owned(),
            url: text(&http.url),
            headers: texts(&http.headers),
            query: http.query.iter().map(|(name, value)| (name.clone(), value.to_json())).collect(),
            body: http.body.as_ref().map(TemplateValue::to_json),
            connection: http.connection.as_ref().map(text),
            // The checks refuse what is no status.
            expect: http.expect.iter().filter_map(|status| u16::try_from(*status).ok()).collect(),
        }),
        Kind::StateMachine(machine) => Service::StateMachine(StateMachinePlan {
            machine: text(&machine.machine),
            input: machine.input.as_ref().map(TemplateValue::to_json),
            wait: machine.wait,
        }),
        _ => return None,
    })
}

/// `JobDriver` of StartJobRun.
/// <https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_JobDriver.html>
fn job_driver(job: &EmrServerless) -> Json {
    let mut driver = Map::new();
    let optional = |driver: &mut Map<String, Json>, key: &str, template: &Option<Template>| {
        driver.extend(template.as_ref().map(|template| (key.to_owned(), json!(template.source()))));
    };
    if let Some(spark) = &job.spark {
        driver.insert("EntryPoint".to_owned(), json!(spark.entry_point.source()));
        if !spark.arguments.is_empty() {
            driver.insert("EntryPointArguments".to_owned(), Json::Array(argv(&spark.arguments)));
        }
        optional(&mut driver, "SparkSubmitParameters", &spark.parameters);
        return json!({"SparkSubmit": driver});
    }
    if let Some(hive) = &job.hive {
        driver.insert("Query".to_owned(), json!(hive.query.source()));
        optional(&mut driver, "InitQueryFile", &hive.init_query);
        optional(&mut driver, "Parameters", &hive.parameters);
        return json!({"Hive": driver});
    }
    // The checks refuse a job that runs nothing.
    job.job_driver.as_ref().map_or(Json::Null, TemplateValue::to_json)
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Head => "HEAD",
        Method::Options => "OPTIONS",
    }
}

fn text(template: &Template) -> String {
    template.source().to_owned()
}

fn texts(values: &IndexMap<String, Template>) -> BTreeMap<String, Json> {
    values.iter().map(|(name, value)| (name.clone(), json!(value.source()))).collect()
}

fn argv(argv: &Argv) -> Vec<Json> {
    argv.iter().map(|item| json!(item.source())).collect()
}

/// Every template of a service kind.
pub(crate) fn for_each_template(kind: &Kind, see: &mut impl FnMut(&Template)) {
    let each = |values: &IndexMap<String, Template>, see: &mut dyn FnMut(&Template)| {
        values.values().for_each(see);
    };
    let tree = |value: &Option<TemplateValue>, see: &mut dyn FnMut(&Template)| {
        if let Some(value) = value {
            super::lower::in_value(value, see);
        }
    };
    match kind {
        Kind::Lambda(lambda) => {
            see(&lambda.function);
            lambda.qualifier.iter().for_each(&mut *see);
            tree(&lambda.payload, see);
        }
        Kind::Glue(glue) => {
            see(&glue.job);
            glue.worker_type.iter().for_each(&mut *see);
            each(&glue.arguments, see);
        }
        Kind::EmrServerless(job) => {
            [&job.application, &job.role].into_iter().for_each(&mut *see);
            if let Some(spark) = &job.spark {
                see(&spark.entry_point);
                spark.arguments.iter().chain(&spark.parameters).for_each(&mut *see);
            }
            if let Some(hive) = &job.hive {
                see(&hive.query);
                hive.init_query.iter().chain(&hive.parameters).for_each(&mut *see);
            }
            tree(&job.job_driver, see);
            tree(&job.configuration, see);
        }
        Kind::Batch(batch) => {
            [&batch.job_definition, &batch.queue].into_iter().for_each(&mut *see);
            batch.command.iter().for_each(&mut *see);
            each(&batch.parameters, see);
            each(&batch.env, see);
        }
        Kind::Athena(athena) => {
            let texts = [&athena.workgroup, &athena.database, &athena.catalog, &athena.output];
            texts.into_iter().flatten().for_each(&mut *see);
            athena.params.iter().for_each(|value| super::lower::in_value(value, see));
        }
        Kind::Http(http) => {
            see(&http.url);
            http.connection.iter().for_each(&mut *see);
            each(&http.headers, see);
            http.query.values().for_each(|value| super::lower::in_value(value, see));
            tree(&http.body, see);
        }
        Kind::StateMachine(machine) => {
            see(&machine.machine);
            tree(&machine.input, see);
        }
        _ => {}
    }
}
