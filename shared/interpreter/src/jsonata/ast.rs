//! The tree that the parser builds and the evaluator walks.
//!
//! Paths are already flattened into steps, and the parent operator `%` is resolved to the step
//! that must remember its parent.

use regex::Regex;
use serde_json::Number;

use super::signature::Signature;

/// An expression with what was written behind it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The character of the source behind the token, for error messages.
    pub(super) position: usize,
    /// `[]` follows: a single result stays an array.
    pub(super) keep_array: bool,
    /// An array constructor at either end of a path: its result is not flattened.
    pub(super) constructs: bool,
    /// The step's results carry variables or parents along.
    pub(super) tuple: bool,
    /// How many levels of nodes are below this one, itself included.
    pub(super) height: usize,
    /// Parents sought outside this node, as indices of [`Slot`]s; used while parsing.
    pub(super) seeking: Vec<usize>,
    pub(super) trimmings: Option<Box<Trimmings>>,
}

/// What few nodes have.
#[derive(Debug, Default)]
pub(super) struct Trimmings {
    /// Filters of an expression that is not a step.
    pub(super) predicates: Vec<Node>,
    /// Filters and index bindings of a step, in order.
    pub(super) stages: Vec<Stage>,
    /// `{key: value}` behind an expression.
    pub(super) group: Option<Vec<(Node, Node)>>,
    /// `@$name`.
    pub(super) focus: Option<String>,
    /// `#$name`.
    pub(super) index: Option<String>,
    /// The slot that remembers this step's parent.
    pub(super) ancestor: Option<usize>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Filter(Node),
    Index(String),
}

/// Where a `%` finds its parent: the label under which a step stores it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) label: usize,
    pub(super) level: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Regex(Box<Regex>),
    Name(String),
    /// `$name`; the empty name is the context. With the built-in function of that name, if any.
    Variable(String, Option<&'static super::functions::Builtin>),
    Wildcard,
    Descendants,
    Parent(usize),
    Path {
        steps: Vec<Node>,
        keep_singleton: bool,
        plain: bool,
    },
    Binary(Operator, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Array(Vec<Node>),
    Object(Vec<(Node, Node)>),
    Block(Vec<Node>),
    Bind(String, Box<Node>),
    Condition(Box<Node>, Box<Node>, Option<Box<Node>>),
    Call(Box<Node>, Vec<Node>),
    /// A call with `?` for some arguments.
    Partial(Box<Node>, Vec<Option<Node>>),
    Lambda(Box<Lambda>),
    Apply(Box<Node>, Box<Node>),
    Transform(Box<Transform>),
    Sort(Vec<Term>),
}

#[derive(Debug)]
pub(super) struct Lambda {
    pub(super) parameters: Vec<String>,
    pub(super) signature: Option<Signature>,
    pub(super) body: Node,
}

/// `|pattern|update,delete|`.
#[derive(Debug)]
pub(super) struct Transform {
    pub(super) pattern: Node,
    pub(super) update: Node,
    pub(super) delete: Option<Node>,
}

#[derive(Debug)]
pub(super) struct Term {
    pub(super) descending: bool,
    pub(super) expression: Node,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Concatenate,
    And,
    Or,
    In,
    Range,
}

impl Operator {
    /// The operator as written, for error messages.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Concatenate => "&",
            Self::And => "and",
            Self::Or => "or",
            Self::In => "in",
            Self::Range => "..",
        }
    }
}

impl Node {
    pub(super) fn new(kind: Kind, position: usize) -> Self {
        let height = 1 + kind.children().map(|child| child.height).max().unwrap_or(0);
        Self {
            kind,
            position,
            keep_array: false,
            constructs: false,
            tuple: false,
            height,
            seeking: Vec::new(),
            trimmings: None,
        }
    }

    pub(super) fn trimmings_mut(&mut self) -> &mut Trimmings {
        self.trimmings.get_or_insert_default()
    }

    /// True when the node is an array constructor or begins with one.
    pub(super) fn begins_with_constructor(&self) -> bool {
        match &self.kind {
            Kind::Path { steps, .. } => steps.first().is_some_and(|step| step.constructs),
            _ => self.constructs,
        }
    }
}

impl Kind {
    /// The nodes directly below.
    pub(super) fn children(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match self {
            Self::Path { steps, .. } => Box::new(steps.iter()),
            Self::Binary(_, left, right) | Self::Apply(left, right) => {
                Box::new([left.as_ref(), right.as_ref()].into_iter())
            }
            Self::Negate(inner) | Self::Bind(_, inner) => Box::new(std::iter::once(inner.as_ref())),
            Self::Array(items) | Self::Block(items) => Box::new(items.iter()),
            Self::Object(pairs) => Box::new(pairs.iter().flat_map(|(key, value)| [key, value])),
            Self::Condition(condition, then, otherwise) => {
                Box::new([condition.as_ref(), then.as_ref()].into_iter().chain(otherwise.as_deref()))
            }
            Self::Call(function, arguments) => Box::new(std::iter::once(function.as_ref()).chain(arguments)),
            Self::Partial(function, arguments) => {
                Box::new(std::iter::once(function.as_ref()).chain(arguments.iter().flatten()))
            }
            Self::Lambda(lambda) => Box::new(std::iter::once(&lambda.body)),
            Self::Transform(transform) => {
                Box::new([&transform.pattern, &transform.update].into_iter().chain(&transform.delete))
            }
            Self::Sort(terms) => Box::new(terms.iter().map(|term| &term.expression)),
            _ => Box::new(std::iter::empty()),
        }
    }
}
