//! The one list of diagnostic codes. Each has a page in `docs/errors` and a case in
//! `tests/pipelines`; a test holds both.

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $name:ident = $text:literal, )*) => {
        /// Which finding. A code never changes its meaning; a retired one is not used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $( $(#[doc = $doc])* $name, )* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it is shown: `C101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it stands for, in one sentence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

codes! {
    // Reading the file.
    /// The text is not one YAML document.
    NotYaml = "C001",
    /// The file is not UTF-8.
    NotUtf8 = "C002",
    /// The file is larger than the limit.
    FileTooLarge = "C003",
    /// Mappings and lists are nested too deep.
    TooDeep = "C004",
    /// The file holds too many values once its aliases are expanded.
    TooManyNodes = "C005",
    /// A key stands twice in one mapping.
    DuplicateKey = "C006",
    // The shape of settings.
    /// A key is not known here.
    UnknownKey = "C101",
    /// A required key is missing.
    MissingKey = "C102",
    /// A value has the wrong type.
    WrongType = "C103",
    /// A value is not one of those allowed.
    NotAllowed = "C104",
    /// A number or a list is outside its bounds.
    OutOfRange = "C105",
    /// A name does not have the form that names need.
    BadName = "C106",
    /// A duration cannot be read.
    BadDuration = "C107",
    /// A cron expression cannot be read, or never fires.
    BadCron = "C108",
    /// A time zone is not in the IANA database.
    BadTimezone = "C109",
    /// A date or an instant cannot be read.
    BadMoment = "C110",
    /// Settings that exclude each other stand together.
    Conflict = "C111",
    /// A task has no kind, or more than one.
    TaskKind = "C112",
    /// A regular expression cannot be read.
    BadPattern = "C113",
    /// A pattern of object keys, or what is made of its captures, is wrong.
    BadKeyPattern = "C114",
    /// Hours of a day cannot be read.
    BadHours = "C115",
    /// The name of a dataset cannot be read.
    BadDataset = "C116",
    // The graph of tasks.
    /// A task named here does not exist.
    UnknownTask = "C201",
    /// A task needs itself.
    NeedsItself = "C202",
    /// A task is named twice in one list.
    NamedTwice = "C203",
    /// Tasks need each other in a circle.
    Cycle = "C204",
    /// The pipeline has no tasks.
    NoTasks = "C205",
    /// A trigger rule waits for one of several upstreams, and there is none.
    RuleWithoutUpstream = "C206",
    /// A branch names a task that is not directly below it.
    BranchTarget = "C207",
    /// A choice of a branch can never be taken.
    DeadChoice = "C208",
    /// A rule that fires early stands below a branch.
    EarlyRuleBelowBranch = "C209",
    /// A task can never run.
    NeverRuns = "C210",
    /// A pipeline starts itself.
    StartsItself = "C211",
    /// A teardown takes away a task that sets nothing up.
    NotSetup = "C212",
    /// A task needs one that has a fallback, and does not need the fallback.
    FallbackNotNeeded = "C213",
    // Templates.
    /// A template cannot be parsed.
    BadTemplate = "C301",
    /// A template reads a name that does not exist.
    UnknownName = "C302",
    /// A template reads a parameter that is not declared.
    UnknownParam = "C303",
    /// A template reads an output that is not declared.
    UnknownOutput = "C304",
    /// A template reads the output of a task that need not have ended before.
    OutputNotUpstream = "C305",
    /// A template reads an output that may be absent, without a default.
    OutputMayBeAbsent = "C306",
    /// A template reads the item of a map where there is none.
    ItemOutsideMap = "C307",
    /// A template reads an environment value that no environment has.
    UnknownEnv = "C308",
    // Values that are well-formed and still wrong.
    /// Cpu and memory are no pair that Fargate offers.
    FargateSize = "C401",
    /// A parameter's default does not fit its own declaration.
    ParamDefault = "C402",
    /// A parameter's declaration contradicts itself.
    ParamDeclaration = "C403",
    /// A channel is not in the project file.
    UnknownChannel = "C404",
    /// An image is not in the project file.
    UnknownImage = "C405",
    /// The settings of a data task do not fit together.
    DataTask = "C406",
    /// A pool is not in the project file.
    UnknownPool = "C407",
    /// A calendar is not in the project file.
    UnknownCalendar = "C408",
    /// A schedule and its calendar do not fit together.
    CalendarUse = "C409",
    /// A breaker or rate limit is not in the project file.
    UnknownControl = "C410",
    // Task templates.
    /// A task uses a template that does not exist.
    UnknownTemplate = "C501",
    /// The values given to a task template do not fit it.
    TemplateValue = "C502",
    /// A task template uses itself.
    TemplateCycle = "C503",
    /// A setting stands where a task template, or its use, cannot have it.
    TemplateSetting = "C504",
    // A pipeline for each item of a list.
    /// The list of a matrix cannot be read, or is empty or too long.
    MatrixList = "C511",
    /// The key of an item cannot name its runs, or stands twice.
    MatrixKey = "C512",
    /// A column is not in the list of a matrix.
    MatrixColumn = "C513",
    /// A value in the list of a matrix does not fit its column.
    MatrixValue = "C514",
    /// A schedule by cases, and the items that choose among them, do not fit together.
    MatrixCase = "C515",
    // Not built yet.
    /// The setting is not supported yet.
    UnsupportedSetting = "C901",
    /// The kind of task is not supported yet.
    UnsupportedKind = "C902",
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
