//! The kinds that another AWS service does, and calls of web services.

use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;

use crate::shape::{Argv, choice, record};

record! {
    /// Lambda: a function to invoke. Its answer, a JSON object, is the task's output.
    pub struct Lambda (short "function") {
        /// Function: its name or ARN.
        function: Template;
        /// Payload: what it receives; every string is a template.
        payload: Option<TemplateValue> = None;
        /// Qualifier: a version or an alias.
        qualifier: Option<Template> = None;
    }
}

record! {
    /// Glue: a job to run. Its output is `job_run_id`.
    pub struct Glue (short "job") {
        /// Job: its name.
        job: Template;
        /// Arguments: by name; a name without `--` gets it.
        arguments: IndexMap<String, Template> = IndexMap::new();
        /// Worker type: such as G.1X; needs `workers`.
        worker_type: Option<Template> = None;
        /// Workers: how many; needs `worker_type`.
        workers: Option<u32> = None, within 1..=1_000;
    }
}

record! {
    /// EMR Serverless: a Spark or Hive job to run. Its output is `job_run_id`.
    pub struct EmrServerless {
        /// Application: its id.
        application: Template;
        /// Role: the ARN of the role that the job has.
        role: Template;
        /// Spark: a program for spark-submit.
        spark: Option<Spark> = None;
        /// Hive: a query.
        hive: Option<Hive> = None;
        /// Job driver: what runs, as the service's API takes it, in place of `spark` and `hive`.
        job_driver: Option<TemplateValue> = None;
        /// Configuration: overrides, as the service's API takes them.
        configuration: Option<TemplateValue> = None;
    }
}

record! {
    /// Spark: a program for spark-submit.
    pub struct Spark (short "entry_point") {
        /// Entry point: the URI of a jar or a Python file.
        entry_point: Template;
        /// Arguments: one item each; an item that renders to a list is spliced in.
        arguments: Argv = Argv::default();
        /// Parameters: options of spark-submit, such as `--conf spark.executor.cores=4`.
        parameters: Option<Template> = None;
    }
}

record! {
    /// Hive: a query.
    pub struct Hive (short "query") {
        /// Query: the URI of a file of HiveQL.
        query: Template;
        /// First query: the URI of a file that runs before it.
        init_query: Option<Template> = None;
        /// Parameters: options of Hive.
        parameters: Option<Template> = None;
    }
}

record! {
    /// Batch: a job for AWS Batch. Its output is `job_id`, and what its program leaves under `CAUCE_OUTPUT_URI`.
    pub struct Batch {
        /// Job definition: a name, `name:revision` or an ARN.
        job_definition: Template;
        /// Queue: the job queue.
        queue: Template;
        /// Parameters: values for the definition's own parameters.
        parameters: IndexMap<String, Template> = IndexMap::new();
        /// Command: the program's arguments in place of the definition's, one item each.
        command: Argv = Argv::default();
        /// Environment: variables of the program.
        env: IndexMap<String, Template> = IndexMap::new();
    }
}

record! {
    /// Athena: a query. Its output is `query_execution_id` and `output`, where the result is stored.
    pub struct Athena (short "query") {
        /// Query: the SQL, with a question mark for every value; values are bound, never written into it.
        query: String;
        /// Parameters: values for the question marks, in their order.
        params: Vec<TemplateValue> = Vec::new();
        /// Workgroup: whose limits and result location apply; `primary` when it is not said.
        workgroup: Option<Template> = None;
        /// Database: where names of tables are looked up.
        database: Option<Template> = None;
        /// Catalog: the data catalog; the Glue catalog when it is not said.
        catalog: Option<Template> = None;
        /// Output: the URI under which the result is stored; the workgroup's own when it is not said.
        output: Option<Template> = None;
    }
}

choice! {
    /// Method: how a web service is called.
    pub enum Method {
        /// Read.
        Get = "GET";
        /// Send.
        Post = "POST";
        /// Replace.
        Put = "PUT";
        /// Change.
        Patch = "PATCH";
        /// Remove.
        Delete = "DELETE";
        /// Read the headers.
        Head = "HEAD";
        /// Ask what can be done.
        Options = "OPTIONS";
    }
}

record! {
    /// HTTP: a call of a web service. Its answer, a JSON object, is the task's output.
    pub struct Http (short "url") {
        /// URL: where.
        url: Template;
        /// Method: GET, POST and so on.
        method: Method = Method::Get;
        /// Headers: by name. Secrets belong to the connection.
        headers: IndexMap<String, Template> = IndexMap::new();
        /// Query: parameters by name; a list repeats its name.
        query: IndexMap<String, TemplateValue> = IndexMap::new();
        /// Body: sent as JSON.
        body: Option<TemplateValue> = None;
        /// Connection: the ARN of the EventBridge connection that holds the credentials. AWS wants one.
        connection: Option<Template> = None;
        /// Expect: the statuses that are a success; 200 to 299 when it is not said.
        expect: Vec<u32> = Vec::new();
    }
}

record! {
    /// State machine: an execution of a machine that is not a pipeline. Its output is the execution's.
    pub struct StateMachine (short "machine") {
        /// Machine: its ARN, a version's or an alias's, or its name in this account and region.
        machine: Template;
        /// Input: what it receives; every string is a template.
        input: Option<TemplateValue> = None;
        /// Wait: whether the task ends with the execution, and fails when it fails.
        wait: bool = true;
    }
}
