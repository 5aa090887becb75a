//! The evaluator: what each node means. Paths are in `path`, operators in `operators`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use indexmap::IndexMap;
use regex::Regex;
use serde_json::{Map, Value};

use super::ast::{Kind, Lambda, Node, Slot, Transform};
use super::error::{JsonataError, JsonataErrorKind};
use super::functions::{Arguments, Builtin};
use super::value::{Array, Item, Object, Text};
use super::{Environment, MAX_DEPTH, MAX_VALUE_DEPTH, MAX_WORK, STACK_RESERVE, STACK_SEGMENT};
use crate::intrinsics::SplitMix;

pub(super) type Outcome<'a> = Result<Item<'a>, JsonataError>;

/// Evaluates a whole expression. On AWS the context `$` is undefined at the top.
pub(super) fn run<'a>(
    root: &'a Node,
    slots: &'a [Slot],
    environment: &'a Environment<'a>,
    context: &Item<'a>,
) -> Result<Option<Value>, JsonataError> {
    let evaluator = Evaluator {
        environment,
        slots,
        scopes: RefCell::new(Vec::new()),
        closures: Cell::new(0),
        work: Cell::new(0),
        depth: Cell::new(0),
        random: RefCell::new(SplitMix::new(environment.seed)),
    };
    let result = evaluator.scoped(NO_SCOPE, Vec::new(), |scope| evaluator.eval(root, context, scope))?;
    evaluator.to_json(&result, 0)
}

/// An evaluation under way.
pub(super) struct Evaluator<'a> {
    pub(super) environment: &'a Environment<'a>,
    slots: &'a [Slot],
    /// All scopes of the evaluation; freed at its end, because closures and scopes form cycles.
    scopes: RefCell<Vec<Scope<'a>>>,
    /// How many closures were made: a scope that none captured is freed at once.
    closures: Cell<usize>,
    work: Cell<usize>,
    depth: Cell<usize>,
    pub(super) random: RefCell<SplitMix>,
}

/// The index of a scope.
pub(super) type ScopeId = usize;

/// The scope of the environment, which holds no bindings of the expression.
const NO_SCOPE: ScopeId = usize::MAX;

struct Scope<'a> {
    bindings: Vec<(Key<'a>, Item<'a>)>,
    parent: ScopeId,
}

/// What a value is bound to: a variable, or the label of a parent operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Key<'a> {
    Name(&'a str),
    Label(usize),
}

/// A value on its way through a path, with what was bound on the way.
#[derive(Clone, Debug)]
pub(super) struct Tuple<'a> {
    pub(super) value: Item<'a>,
    pub(super) bindings: Vec<(Key<'a>, Item<'a>)>,
}

/// Anything that can be called.
#[derive(Debug)]
pub(super) enum Function<'a> {
    Lambda {
        lambda: &'a Lambda,
        context: Item<'a>,
        scope: ScopeId,
    },
    Builtin(&'static Builtin),
    Regex(&'a Regex),
    /// A pattern and where in the text to go on; what `next` of a match is.
    NextMatch {
        regex: &'a Regex,
        text: Text<'a>,
        from: usize,
    },
    Transform {
        transform: &'a Transform,
        position: usize,
        scope: ScopeId,
    },
    /// Some arguments given, the others awaited.
    Partial {
        function: Rc<Function<'a>>,
        given: Vec<Option<Item<'a>>>,
        depth: u16,
    },
    /// First one, then the other.
    Chain {
        first: Rc<Function<'a>>,
        second: Rc<Function<'a>>,
        depth: u16,
    },
}

impl<'a> Function<'a> {
    fn partial(function: Rc<Function<'a>>, given: Vec<Option<Item<'a>>>) -> Self {
        let deepest = given.iter().flatten().map(Item::depth).max().unwrap_or(0);
        let depth = function.depth().max(deepest).saturating_add(1);
        Self::Partial { function, given, depth }
    }

    fn chain(first: Rc<Function<'a>>, second: Rc<Function<'a>>) -> Self {
        let depth = first.depth().max(second.depth()).saturating_add(1);
        Self::Chain { first, second, depth }
    }

    /// Counts towards the depth of values, so that dropping a chain of functions stays shallow.
    pub(super) fn depth(&self) -> u16 {
        match self {
            Self::Lambda { context, .. } => context.depth().saturating_add(1),
            Self::Partial { depth, .. } | Self::Chain { depth, .. } => *depth,
            _ => 1,
        }
    }

    /// How many arguments the function takes.
    pub(super) fn arity(&self) -> usize {
        match self {
            Self::Lambda { lambda, .. } => lambda.parameters.len(),
            Self::Builtin(builtin) => builtin.arity(),
            Self::Regex(_) => 2,
            Self::NextMatch { .. } => 0,
            Self::Transform { .. } | Self::Chain { .. } => 1,
            Self::Partial { given, .. } => given.iter().filter(|slot| slot.is_none()).count(),
        }
    }
}

/// What a function body ends in: a value, or one more call to make in its stead.
enum Tail<'a> {
    Value(Item<'a>),
    Call { function: Item<'a>, arguments: Vec<Item<'a>>, context: Item<'a>, node: &'a Node },
}

impl<'a> Evaluator<'a> {
    /// Counts `units` of work and fails when there was too much.
    pub(super) fn charge(&self, units: usize) -> Result<(), JsonataError> {
        let work = self.work.get().saturating_add(units);
        self.work.set(work);
        if work > MAX_WORK {
            return Err(JsonataError::limit(
                "U1001",
                format!("the evaluation takes more than {MAX_WORK} steps"),
            ));
        }
        Ok(())
    }

    /// Counts a text of that many bytes.
    pub(super) fn charge_text(&self, bytes: usize) -> Result<(), JsonataError> {
        self.charge(1 + bytes / 64)
    }

    /// Evaluates a node; sequences in the result are unwrapped.
    pub(super) fn eval(&self, node: &'a Node, context: &Item<'a>, scope: ScopeId) -> Outcome<'a> {
        // Leaves need neither a stack check nor unwrapping.
        match &node.kind {
            _ if node.trimmings.is_some() || node.keep_array => {}
            Kind::Text(text) => return Ok(Item::Text(Text::Borrowed(text))),
            Kind::Number(number) => return Ok(Item::Number(number.clone())),
            Kind::Bool(value) => return Ok(Item::Bool(*value)),
            Kind::Null => return Ok(Item::Null),
            Kind::Variable(name, builtin) => {
                self.charge(1)?;
                return Ok(self.variable(name, *builtin, context, scope));
            }
            Kind::Path { steps, plain: true, .. } => {
                self.charge(1)?;
                if let Some(found) = self.plain_path(steps, context, scope) {
                    return Ok(found);
                }
            }
            _ => {}
        }
        self.charge(1)?;
        self.deeper(|| {
            let mut result = self.eval_kind(node, context, scope)?;
            if let Some(trimmings) = node.trimmings.as_deref() {
                for predicate in &trimmings.predicates {
                    result = self.filter(predicate, result, scope)?;
                }
                if let (Some(group), false) = (&trimmings.group, matches!(node.kind, Kind::Path { .. })) {
                    result = self.group(group, node.position, result, scope)?;
                }
            }
            if node.keep_array
                && let Item::Array(array) = &mut result
                && array.sequence
            {
                array.keep_singleton = true;
            }
            shallow(unwrapped(result))
        })
    }

    fn deeper(&self, inner: impl FnOnce() -> Outcome<'a>) -> Outcome<'a> {
        let depth = self.depth.get() + 1;
        if depth > MAX_DEPTH {
            return Err(JsonataError::limit(
                "U1001",
                format!("the evaluation nests deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.depth.set(depth);
        let outcome = stacker::maybe_grow(STACK_RESERVE, STACK_SEGMENT, inner);
        self.depth.set(depth - 1);
        outcome
    }

    fn eval_kind(&self, node: &'a Node, context: &Item<'a>, scope: ScopeId) -> Outcome<'a> {
        match &node.kind {
            Kind::Null => Ok(Item::Null),
            Kind::Bool(value) => Ok(Item::Bool(*value)),
            Kind::Number(number) => Ok(Item::Number(number.clone())),
            Kind::Text(text) => Ok(Item::Text(Text::Borrowed(text))),
            Kind::Regex(regex) => Ok(Item::Function(Rc::new(Function::Regex(regex)))),
            Kind::Name(name) => self.member(context, name),
            Kind::Variable(name, builtin) => Ok(self.variable(name, *builtin, context, scope)),
            Kind::Wildcard => self.wildcard(context),
            Kind::Descendants => self.descendants(context),
            Kind::Parent(slot) => Ok(self.lookup(self.label(*slot), scope).unwrap_or(Item::Undefined)),
            Kind::Path { steps, keep_singleton, .. } => {
                self.path(node, steps, *keep_singleton, context, scope)
            }
            Kind::Binary(operator, left, right) => {
                self.binary(*operator, left, right, node.position, context, scope)
            }
            Kind::Negate(inner) => self.negate(inner, node.position, context, scope),
            Kind::Array(items) => self.array(node, items, context, scope),
            Kind::Object(pairs) => self.group(pairs, node.position, context.clone(), scope),
            Kind::Block(parts) => self.block(parts, context, scope),
            Kind::Bind(name, value) => {
                let value = self.eval(value, context, scope)?;
                self.bind(scope, Key::Name(name), value.clone());
                Ok(value)
            }
            Kind::Condition(condition, then, otherwise) => {
                let condition = self.eval(condition, context, scope)?;
                if self.truth(&condition)? {
                    self.eval(then, context, scope)
                } else if let Some(otherwise) = otherwise {
                    self.eval(otherwise, context, scope)
                } else {
                    Ok(Item::Undefined)
                }
            }
            Kind::Call(function, arguments) => {
                self.call_node(node, function, arguments, None, context, scope)
            }
            Kind::Partial(function, arguments) => self.partial(node, function, arguments, context, scope),
            Kind::Lambda(lambda) => {
                self.closures.set(self.closures.get() + 1);
                let context = context.clone();
                Ok(Item::Function(Rc::new(Function::Lambda { lambda, context, scope })))
            }
            Kind::Apply(left, right) => self.apply_node(node, left, right, context, scope),
            Kind::Transform(transform) => {
                self.closures.set(self.closures.get() + 1);
                let position = node.position;
                Ok(Item::Function(Rc::new(Function::Transform { transform, position, scope })))
            }
            // A sort is only ever a step of a path, which handles it.
            Kind::Sort(_) => Ok(Item::Undefined),
        }
    }

    // ---- scopes

    /// Opens a scope below `parent`, runs `inner` in it, and frees it when no closure needs it.
    pub(super) fn scoped<T>(
        &self,
        parent: ScopeId,
        bindings: Vec<(Key<'a>, Item<'a>)>,
        inner: impl FnOnce(ScopeId) -> Result<T, JsonataError>,
    ) -> Result<T, JsonataError> {
        let closures = self.closures.get();
        let scope = {
            let mut scopes = self.scopes.borrow_mut();
            scopes.push(Scope { bindings, parent });
            scopes.len() - 1
        };
        let result = inner(scope);
        if self.closures.get() == closures {
            self.scopes.borrow_mut().truncate(scope);
        }
        result
    }

    fn bind(&self, scope: ScopeId, key: Key<'a>, value: Item<'a>) {
        let mut scopes = self.scopes.borrow_mut();
        let bindings = &mut scopes[scope].bindings;
        match bindings.iter_mut().find(|(bound, _)| *bound == key) {
            Some((_, bound)) => *bound = value,
            None => bindings.push((key, value)),
        }
    }

    /// The key under which the parent for a slot is bound.
    pub(super) fn label(&self, slot: usize) -> Key<'a> {
        Key::Label(self.slots[slot].label)
    }

    fn lookup(&self, key: Key<'_>, mut scope: ScopeId) -> Option<Item<'a>> {
        let scopes = self.scopes.borrow();
        while scope != NO_SCOPE {
            let Scope { bindings, parent } = &scopes[scope];
            if let Some((_, value)) = bindings.iter().find(|(bound, _)| *bound == key) {
                return Some(value.clone());
            }
            scope = *parent;
        }
        None
    }

    pub(super) fn variable(
        &self,
        name: &str,
        builtin: Option<&'static Builtin>,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Item<'a> {
        if name.is_empty() {
            return context.clone();
        }
        if let Some(bound) = self.lookup(Key::Name(name), scope) {
            return bound;
        }
        if name == "states" {
            return Item::Object(Object::States(self.environment));
        }
        if let Some(value) = self.environment.variables.get(name) {
            return Item::from(value);
        }
        builtin.map_or(Item::Undefined, |builtin| Item::Function(Rc::new(Function::Builtin(builtin))))
    }

    fn block(&self, parts: &'a [Node], context: &Item<'a>, scope: ScopeId) -> Outcome<'a> {
        self.scoped(scope, Vec::new(), |scope| {
            let mut result = Item::Undefined;
            for part in parts {
                result = self.eval(part, context, scope)?;
            }
            Ok(result)
        })
    }

    fn array(&self, node: &'a Node, items: &'a [Node], context: &Item<'a>, scope: ScopeId) -> Outcome<'a> {
        let mut built = Vec::with_capacity(items.len());
        for item in items {
            match self.eval(item, context, scope)? {
                Item::Undefined => {}
                Item::Array(array) if !matches!(item.kind, Kind::Array(_)) => {
                    self.charge(array.len())?;
                    built.extend(array.into_vec());
                }
                other => built.push(other),
            }
        }
        let mut array = Array::new(built, false);
        array.constructed = node.constructs;
        Ok(Item::Array(array))
    }

    // ---- calls

    /// A call in the source; `first` is an argument given by `~>`.
    fn call_node(
        &self,
        node: &'a Node,
        function: &'a Node,
        arguments: &'a [Node],
        first: Option<Item<'a>>,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        let (called, given) = self.prepared(node, function, arguments, first, context, scope)?;
        self.apply(&called, given, context).map_err(|error| placed(error, node.position))
    }

    /// The function and the arguments of a call, evaluated.
    fn prepared(
        &self,
        node: &'a Node,
        function: &'a Node,
        arguments: &'a [Node],
        first: Option<Item<'a>>,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Result<(Item<'a>, Vec<Item<'a>>), JsonataError> {
        let called = self.eval(function, context, scope)?;
        if called.is_undefined()
            && let Some(name) = self.forgotten_dollar(function, scope)
        {
            return Err(JsonataError::evaluation(
                "T1005",
                node.position,
                format!("Attempted to invoke a non-function. Did you mean ${name}?"),
            ));
        }
        let mut given = Vec::with_capacity(arguments.len() + 1);
        given.extend(first);
        for argument in arguments {
            given.push(self.eval(argument, context, scope)?);
        }
        Ok((called, given))
    }

    /// The name of a path that would be a function if it had a `$`.
    fn forgotten_dollar(&self, function: &'a Node, scope: ScopeId) -> Option<&'a str> {
        let Kind::Path { steps, .. } = &function.kind else { return None };
        let Kind::Name(name) = &steps.first()?.kind else { return None };
        let known = super::functions::named(name).is_some()
            || self.lookup(Key::Name(name), scope).is_some()
            || self.environment.variables.get(name).is_some();
        known.then_some(name)
    }

    fn partial(
        &self,
        node: &'a Node,
        function: &'a Node,
        arguments: &'a [Option<Node>],
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            given.push(match argument {
                Some(argument) => Some(self.eval(argument, context, scope)?),
                None => None,
            });
        }
        match self.eval(function, context, scope)? {
            Item::Function(function) => Ok(Item::Function(Rc::new(Function::partial(function, given)))),
            Item::Undefined => Err(match self.forgotten_dollar(function, scope) {
                Some(name) => JsonataError::evaluation(
                    "T1007",
                    node.position,
                    format!("Attempted to partially apply a non-function. Did you mean ${name}?"),
                ),
                None => partial_of_nothing(node.position),
            }),
            _ => Err(partial_of_nothing(node.position)),
        }
    }

    /// `left ~> right`.
    fn apply_node(
        &self,
        node: &'a Node,
        left: &'a Node,
        right: &'a Node,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        let first = self.eval(left, context, scope)?;
        if let (Kind::Call(function, arguments), None) = (&right.kind, &right.trimmings) {
            return self.call_node(right, function, arguments, Some(first), context, scope);
        }
        let Item::Function(function) = self.eval(right, context, scope)? else {
            return Err(JsonataError::evaluation(
                "T2006",
                node.position,
                "The right side of the function application operator ~> must be a function",
            ));
        };
        if let Item::Function(first) = first {
            return Ok(Item::Function(Rc::new(Function::chain(first, function))));
        }
        self.apply(&Item::Function(function), vec![first], &Item::Null)
            .map_err(|error| placed(error, node.position))
    }

    /// Calls a function value from a built-in function.
    pub(super) fn call(&self, function: &Item<'a>, arguments: Vec<Item<'a>>) -> Outcome<'a> {
        self.apply(function, arguments, &Item::Null)
    }

    /// Calls `function`; calls in tail position follow one another without nesting.
    fn apply(&self, function: &Item<'a>, arguments: Vec<Item<'a>>, context: &Item<'a>) -> Outcome<'a> {
        self.charge(1)?;
        self.deeper(|| {
            let mut tail = self.apply_once(function, arguments, context)?;
            loop {
                match tail {
                    Tail::Value(value) => return shallow(value),
                    Tail::Call { function, arguments, context, node } => {
                        self.charge(1)?;
                        tail = self
                            .apply_once(&function, arguments, &context)
                            .map_err(|error| placed(error, node.position))?;
                    }
                }
            }
        })
    }

    fn apply_once(
        &self,
        function: &Item<'a>,
        arguments: Vec<Item<'a>>,
        context: &Item<'a>,
    ) -> Result<Tail<'a>, JsonataError> {
        let Item::Function(function) = function else {
            return Err(JsonataError::evaluation("T1006", 0, "Attempted to invoke a non-function"));
        };
        match function.as_ref() {
            Function::Lambda { lambda, context: captured, scope } => {
                let arguments = match &lambda.signature {
                    Some(signature) => signature.complete(arguments, context, "lambda")?,
                    None => arguments,
                };
                let mut arguments = arguments.into_iter();
                let bindings = lambda
                    .parameters
                    .iter()
                    .map(|name| (Key::Name(name), arguments.next().unwrap_or(Item::Undefined)))
                    .collect();
                self.scoped(*scope, bindings, |scope| self.tail(&lambda.body, captured, scope))
            }
            Function::Builtin(builtin) => {
                let arguments = builtin.signature().complete(arguments, context, builtin.name)?;
                builtin.run(&Arguments { evaluator: self, given: &arguments }).map(Tail::Value)
            }
            Function::Regex(regex) => {
                let text = arguments.into_iter().next().unwrap_or(Item::Undefined);
                match text {
                    Item::Text(text) => self.next_match(regex, text, 0).map(Tail::Value),
                    _ => Ok(Tail::Value(Item::Undefined)),
                }
            }
            Function::NextMatch { text, from, .. } if *from >= text.len() => Ok(Tail::Value(Item::Undefined)),
            Function::NextMatch { regex, text, from } => {
                let found = self.next_match(regex, text.clone(), *from)?;
                if let Item::Object(object) = &found
                    && object.get("match").as_str() == Some("")
                {
                    // It would be found again and again.
                    return Err(JsonataError::evaluation(
                        "D1004",
                        0,
                        "Regular expression matches zero length string",
                    ));
                }
                Ok(Tail::Value(found))
            }
            Function::Transform { transform, position, scope } => {
                let subject = arguments.into_iter().next().unwrap_or(Item::Undefined);
                self.transform(transform, *position, subject, *scope).map(Tail::Value)
            }
            Function::Partial { function, given, .. } => {
                let mut arguments = arguments.into_iter();
                let complete = given
                    .iter()
                    .map(|slot| slot.clone().or_else(|| arguments.next()).unwrap_or(Item::Undefined))
                    .collect();
                self.apply(&Item::Function(Rc::clone(function)), complete, context).map(Tail::Value)
            }
            Function::Chain { first, second, .. } => {
                let between = self.apply(&Item::Function(Rc::clone(first)), arguments, &Item::Null)?;
                self.apply(&Item::Function(Rc::clone(second)), vec![between], &Item::Null).map(Tail::Value)
            }
        }
    }

    /// A function body: as [`Evaluator::eval`], but a call that ends it is left to the caller.
    fn tail(&self, node: &'a Node, context: &Item<'a>, scope: ScopeId) -> Result<Tail<'a>, JsonataError> {
        if node.trimmings.is_some() || node.keep_array {
            return self.eval(node, context, scope).map(Tail::Value);
        }
        match &node.kind {
            Kind::Call(function, arguments) => {
                self.charge(1)?;
                let (function, arguments) = self.prepared(node, function, arguments, None, context, scope)?;
                let context = context.clone();
                Ok(Tail::Call { function, arguments, context, node })
            }
            Kind::Condition(condition, then, otherwise) => {
                self.charge(1)?;
                let condition = self.eval(condition, context, scope)?;
                if self.truth(&condition)? {
                    self.tail(then, context, scope)
                } else if let Some(otherwise) = otherwise {
                    self.tail(otherwise, context, scope)
                } else {
                    Ok(Tail::Value(Item::Undefined))
                }
            }
            Kind::Block(parts) => self.scoped(scope, Vec::new(), |scope| {
                let Some((last, before)) = parts.split_last() else {
                    return Ok(Tail::Value(Item::Undefined));
                };
                for part in before {
                    self.eval(part, context, scope)?;
                }
                self.tail(last, context, scope)
            }),
            _ => self.eval(node, context, scope).map(Tail::Value),
        }
    }

    /// The first match at or behind `from`, as the object that a matcher returns.
    fn next_match(&self, regex: &'a Regex, text: Text<'a>, from: usize) -> Outcome<'a> {
        self.charge_text(text.len())?;
        let Some(captures) = regex.captures_at(&text, from) else {
            return Ok(Item::Undefined);
        };
        let (start, end) = captures.get(0).map_or((from, from), |whole| (whole.start(), whole.end()));
        let groups = captures
            .iter()
            .skip(1)
            .map(|group| group.map_or(Item::Undefined, |group| Item::text(group.as_str())))
            .collect();
        let units = |to: usize| Item::count(text[..to].encode_utf16().count());
        let mut found = IndexMap::new();
        found.insert(Text::Borrowed("match"), Item::text(&text[start..end]));
        found.insert(Text::Borrowed("start"), units(start));
        found.insert(Text::Borrowed("end"), units(end));
        found.insert(Text::Borrowed("groups"), Item::array(groups));
        let next = Function::NextMatch { regex, text: text.clone(), from: end };
        found.insert(Text::Borrowed("next"), Item::Function(Rc::new(next)));
        Ok(Item::object(found))
    }

    // ---- the way out

    /// The value as JSON; a function anywhere in it is an unsupported result.
    pub(super) fn to_json(&self, item: &Item<'a>, depth: u16) -> Result<Option<Value>, JsonataError> {
        self.charge(1)?;
        if depth > MAX_VALUE_DEPTH {
            return Err(too_deep());
        }
        Ok(Some(match item {
            Item::Undefined => return Ok(None),
            Item::Null => Value::Null,
            Item::Bool(value) => Value::Bool(*value),
            Item::Number(number) => Value::Number(number.clone()),
            Item::Text(text) => {
                self.charge_text(text.len())?;
                Value::String(text.to_string())
            }
            Item::Array(array) => {
                let mut items = Vec::with_capacity(array.len());
                for item in array.iter() {
                    // A hole in an array prints as null.
                    items.push(self.to_json(&item, depth + 1)?.unwrap_or(Value::Null));
                }
                Value::Array(items)
            }
            Item::Object(object) => {
                let mut members = Map::new();
                for (name, item) in object.entries() {
                    if let Some(value) = self.to_json(&item, depth + 1)? {
                        members.insert(name.to_string(), value);
                    }
                }
                Value::Object(members)
            }
            Item::Tuples(tuples) => {
                let mut items = Vec::with_capacity(tuples.len());
                for tuple in tuples.iter() {
                    items.extend(self.to_json(&tuple.value, depth + 1)?);
                }
                Value::Array(items)
            }
            Item::Function(_) => {
                return Err(JsonataError {
                    kind: JsonataErrorKind::UnsupportedResult,
                    code: "D3001",
                    message: "the result is or holds a function".to_owned(),
                    position: 0,
                });
            }
        }))
    }
}

/// A sequence stands for its only item, and for undefined when it has none.
pub(super) fn unwrapped(item: Item<'_>) -> Item<'_> {
    match item {
        Item::Array(array) if array.sequence => match array.len() {
            0 => Item::Undefined,
            1 if !array.keep_singleton => array.get(0).unwrap_or(Item::Undefined),
            _ => Item::Array(array),
        },
        other => other,
    }
}

/// Refuses a value that is nested too deeply to be walked safely.
fn shallow(item: Item<'_>) -> Outcome<'_> {
    if item.depth() > MAX_VALUE_DEPTH { Err(too_deep()) } else { Ok(item) }
}

fn too_deep() -> JsonataError {
    JsonataError::limit("U1001", format!("a value nests deeper than {MAX_VALUE_DEPTH} levels"))
}

/// The error with the position of the call, unless it already has one.
fn placed(error: JsonataError, position: usize) -> JsonataError {
    match error.position {
        0 => JsonataError { position, ..error },
        _ => error,
    }
}

fn partial_of_nothing(position: usize) -> JsonataError {
    JsonataError::evaluation("T1008", position, "Attempted to partially apply a non-function")
}
