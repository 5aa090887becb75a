//! The Map state, inline and distributed.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-map.html>.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field::{is_false, present};
use crate::{Catcher, Number, QueryLanguage, Retrier, SubMachine};

/// Runs its item processor once for each item; its result is the array of their outputs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Map {
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The language of this state's expressions; the machine's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_language: Option<QueryLanguage>,
    /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub input_path: Option<Option<String>>,
    /// JSONPath: where the effective input holds the items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_path: Option<String>,
    /// JSONata: the items, an array or an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Value>,
    /// Distributed only: the object that holds the items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_reader: Option<ItemReader>,
    /// What each iteration receives instead of its item.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub item_selector: Option<Value>,
    /// The older name of `item_selector`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Distributed only: how items are grouped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_batcher: Option<ItemBatcher>,
    /// How many iterations run at once; 0 sets no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<Number>,
    /// JSONPath: where the input holds that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency_path: Option<String>,
    /// Distributed only: the share of items, 0 to 100, that may fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_percentage: Option<Number>,
    /// JSONPath: where the input holds that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_percentage_path: Option<String>,
    /// Distributed only: how many items may fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_count: Option<Number>,
    /// JSONPath: where the input holds that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_count_path: Option<String>,
    /// Distributed only: a prefix for the ARNs of its executions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What runs for each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_processor: Option<SubMachine>,
    /// The older name of `item_processor`, inline only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterator: Option<SubMachine>,
    /// Distributed only: where the results go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_writer: Option<ResultWriter>,
    /// JSONPath: the template applied to the result.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result_selector: Option<Value>,
    /// JSONPath: where in the input the result goes. `Some(None)` discards it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result_path: Option<Option<String>>,
    /// JSONPath: what part goes on. `Some(None)` means `{}`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output_path: Option<Option<String>>,
    /// Which errors are tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<Retrier>,
    /// Which errors go on elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catch: Vec<Catcher>,
    /// Variables to set on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<Value>,
    /// JSONata: what goes on.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The state to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the machine ends here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end: bool,
}

impl Map {
    /// A map that runs this machine inside the same execution for each item.
    pub fn inline(processor: SubMachine) -> Self {
        let config = ProcessorConfig { mode: ProcessorMode::Inline, execution_type: None };
        Self {
            item_processor: Some(SubMachine { processor_config: Some(config), ..processor }),
            ..Self::default()
        }
    }

    /// A map that runs this machine as an execution of its own for each item.
    pub fn distributed(processor: SubMachine, execution_type: ExecutionType) -> Self {
        let config =
            ProcessorConfig { mode: ProcessorMode::Distributed, execution_type: Some(execution_type) };
        Self {
            item_processor: Some(SubMachine { processor_config: Some(config), ..processor }),
            ..Self::default()
        }
    }

    /// What runs for each item, under either of its names.
    pub fn processor(&self) -> Option<&SubMachine> {
        self.item_processor.as_ref().or(self.iterator.as_ref())
    }

    /// Whether each item is an execution of its own.
    pub fn is_distributed(&self) -> bool {
        let config = self.processor().and_then(|processor| processor.processor_config.as_ref());
        config.is_some_and(|config| config.mode == ProcessorMode::Distributed)
    }
}

/// How a Map state runs its processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessorConfig {
    /// Inside the execution, or as executions of their own.
    #[serde(default)]
    pub mode: ProcessorMode,
    /// Distributed only: the kind of those executions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_type: Option<ExecutionType>,
}

/// Where iterations run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProcessorMode {
    /// Inside the execution, sharing its history.
    #[default]
    Inline,
    /// As executions of their own.
    Distributed,
}

/// The kind of an execution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionType {
    /// Durable, at most a year.
    #[default]
    Standard,
    /// At least once, at most five minutes.
    Express,
}

/// Where a distributed Map reads its items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemReader {
    /// How the object is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_config: Option<ReaderConfig>,
    /// `arn:aws:states:::s3:getObject` or `arn:aws:states:::s3:listObjectsV2`.
    pub resource: String,
    /// JSONPath: the template of `Bucket`, `Key` or `Prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// JSONata: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
}

/// How an object becomes items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReaderConfig {
    /// `CSV`, `JSON`, `JSONL`, `PARQUET` or `MANIFEST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_type: Option<String>,
    /// `NONE` or `LOAD_AND_FLATTEN`, for a list of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformation: Option<String>,
    /// What separates CSV fields: `COMMA`, `PIPE`, `SEMICOLON`, `SPACE` or `TAB`.
    #[serde(default, rename = "CSVDelimiter", skip_serializing_if = "Option::is_none")]
    pub csv_delimiter: Option<String>,
    /// `FIRST_ROW` or `GIVEN`.
    #[serde(default, rename = "CSVHeaderLocation", skip_serializing_if = "Option::is_none")]
    pub csv_header_location: Option<String>,
    /// The headers when they are given.
    #[serde(default, rename = "CSVHeaders", skip_serializing_if = "Vec::is_empty")]
    pub csv_headers: Vec<String>,
    /// A JSON pointer to the array inside a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_pointer: Option<String>,
    /// How many items to take at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<Number>,
    /// JSONPath: where the input holds that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items_path: Option<String>,
}

/// How a distributed Map groups its items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemBatcher {
    /// What every batch receives beside its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_input: Option<Value>,
    /// How many items a batch holds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items_per_batch: Option<Number>,
    /// JSONPath: where the input holds that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items_per_batch_path: Option<String>,
    /// How many bytes a batch holds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input_bytes_per_batch: Option<Number>,
    /// JSONPath: where the input holds that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input_bytes_per_batch_path: Option<String>,
}

/// Where a distributed Map writes its results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResultWriter {
    /// How results are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_config: Option<WriterConfig>,
    /// `arn:aws:states:::s3:putObject`; absent when results are only transformed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// JSONPath: the template of `Bucket` and `Prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// JSONata: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
}

/// The form of written results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WriterConfig {
    /// `NONE`, `COMPACT` or `FLATTEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformation: Option<String>,
    /// `JSON` or `JSONL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_type: Option<String>,
}
