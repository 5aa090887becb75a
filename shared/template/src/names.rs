//! Which names a template reads, and whether it can do without them.

use minijinja::machinery::ast::{CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse};

use crate::engine;
use crate::text::TemplateError;

/// One place where a template reads a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameUse {
    /// The name's parts as far as they are constant: `outputs.extract.path` is three parts,
    /// `params[x]` is one.
    pub path: Vec<String>,
    /// Where it starts in the template, in bytes.
    pub offset: usize,
    /// How many bytes it takes up.
    pub length: usize,
    /// The template has an answer where the name has no value: `| default(...)` or `is defined`.
    pub optional: bool,
    /// It stands in `${{ }}`: filled before a run, not by it.
    pub placeholder: bool,
}

impl NameUse {
    /// The parts joined by dots.
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }
}

/// Whether `text` is a name that templates can read.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The names that `source` reads from its context; `base` is added to every offset. Refuses
/// what would only fail when rendered: unknown filters and functions, and methods.
pub(crate) fn find(source: &str, base: usize) -> Result<Vec<NameUse>, TemplateError> {
    let tree = parse(source, "template", engine::syntax()).map_err(|error| {
        TemplateError::new(base + error.range().map_or(0, |range| range.start), engine::describe(&error))
    })?;
    let mut finder = Finder { base, found: Vec::new(), scopes: vec![Vec::new()], problem: None };
    finder.statement(&tree);
    match finder.problem {
        Some(problem) => Err(problem),
        None => Ok(finder.found),
    }
}

struct Finder<'a> {
    base: usize,
    found: Vec<NameUse>,
    /// Names set inside the template, innermost scope last.
    scopes: Vec<Vec<&'a str>>,
    problem: Option<TemplateError>,
}

impl<'a> Finder<'a> {
    fn statement(&mut self, statement: &Stmt<'a>) {
        match statement {
            Stmt::Template(template) => self.block(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr, false),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                self.expression(&each.iter, false);
                self.scopes.push(vec!["loop"]);
                self.assign(&each.target);
                if let Some(filter) = &each.filter_expr {
                    self.expression(filter, false);
                }
                self.block(&each.body);
                self.scopes.pop();
                self.scoped(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr, false);
                self.block(&condition.true_body);
                self.block(&condition.false_body);
            }
            Stmt::WithBlock(with) => {
                self.scopes.push(Vec::new());
                for (target, value) in &with.assignments {
                    self.expression(value, false);
                    self.assign(target);
                }
                self.block(&with.body);
                self.scopes.pop();
            }
            Stmt::Set(set) => {
                self.expression(&set.expr, false);
                self.assign(&set.target);
            }
            Stmt::SetBlock(set) => {
                self.scoped(&set.body);
                if let Some(filter) = &set.filter {
                    self.expression(filter, false);
                }
                self.assign(&set.target);
            }
            Stmt::AutoEscape(escape) => self.scoped(&escape.body),
            Stmt::FilterBlock(filter) => {
                self.expression(&filter.filter, false);
                self.scoped(&filter.body);
            }
            Stmt::Do(call) => {
                self.expression(&call.call.expr, false);
                self.arguments(&call.call.args);
            }
        }
    }

    fn scoped(&mut self, body: &[Stmt<'a>]) {
        self.scopes.push(Vec::new());
        self.block(body);
        self.scopes.pop();
    }

    fn block(&mut self, body: &[Stmt<'a>]) {
        for statement in body {
            self.statement(statement);
        }
    }

    /// `optional`: the surrounding expression has an answer where this one has none.
    fn expression(&mut self, expression: &Expr<'a>, optional: bool) {
        match expression {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.lookup(expression, optional),
            Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr, false);
                for bound in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expression(bound, false);
                }
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr, false),
            Expr::BinOp(operation) => {
                self.expression(&operation.left, false);
                self.expression(&operation.right, false);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr, false);
                for operand in &compare.ops {
                    self.expression(&operand.expr, false);
                }
            }
            Expr::IfExpr(choice) => {
                let first = self.found.len();
                self.expression(&choice.test_expr, false);
                // `x.y if x is defined`: what the test asks about may be absent in the answer.
                let asked: Vec<Vec<String>> = self.found[first..]
                    .iter()
                    .filter(|name| name.optional)
                    .map(|name| name.path.clone())
                    .collect();
                let answers = self.found.len();
                self.expression(&choice.true_expr, optional);
                if let Some(otherwise) = &choice.false_expr {
                    self.expression(otherwise, optional);
                }
                for name in &mut self.found[answers..] {
                    name.optional |= asked.iter().any(|asked| name.path.starts_with(asked));
                }
            }
            Expr::Filter(filter) => {
                if !engine::has_filter(filter.name) {
                    self.refuse(filter.span(), format!("there is no filter `{}`", filter.name));
                }
                if let Some(inner) = &filter.expr {
                    // Any other filter would have to make something of what is not there, before a default is asked.
                    self.expression(inner, matches!(filter.name, "default" | "d"));
                }
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.expression(&test.expr, matches!(test.name, "defined" | "undefined"));
                self.arguments(&test.args);
            }
            Expr::Call(call) => {
                match &call.expr {
                    Expr::Var(name) if self.is_set(name.id) => {}
                    Expr::Var(name) if engine::FUNCTIONS.contains(&name.id) => {}
                    Expr::Var(name) => {
                        self.refuse(name.span(), format!("there is no function `{}`", name.id));
                    }
                    Expr::GetAttr(method) => self.refuse(
                        method.span(),
                        format!("values have no methods: use a filter instead of `.{}()`", method.name),
                    ),
                    other => self.expression(other, false),
                }
                self.arguments(&call.args);
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item, false)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item, false)),
            Expr::Map(map) => {
                for part in map.keys.iter().chain(&map.values) {
                    self.expression(part, false);
                }
            }
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'a>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value, false),
            }
        }
    }

    /// A chain of attributes and constant subscripts down to a variable.
    fn lookup(&mut self, expression: &Expr<'a>, optional: bool) {
        let mut path = Vec::new();
        let mut end = expression.span().end_offset;
        let start;
        let mut current = expression;
        loop {
            match current {
                Expr::Var(variable) => {
                    if self.is_set(variable.id) {
                        return;
                    }
                    path.push(variable.id.to_owned());
                    start = variable.span().start_offset;
                    break;
                }
                Expr::GetAttr(attribute) => {
                    path.push(attribute.name.to_owned());
                    current = &attribute.expr;
                }
                Expr::GetItem(item) => {
                    match item.subscript_expr.as_const() {
                        Some(key) if key.as_str().is_some() => {
                            path.push(key.as_str().unwrap_or_default().to_owned());
                        }
                        // What follows a computed subscript cannot be named beforehand.
                        other => {
                            if other.is_none() {
                                self.expression(&item.subscript_expr, false);
                            }
                            path.clear();
                            end = item.expr.span().end_offset;
                        }
                    }
                    current = &item.expr;
                }
                other => {
                    self.expression(other, optional);
                    return;
                }
            }
        }
        path.reverse();
        self.found.push(NameUse {
            path,
            offset: self.base + start as usize,
            length: end.saturating_sub(start) as usize,
            optional,
            placeholder: false,
        });
    }

    fn assign(&mut self, target: &Expr<'a>) {
        match target {
            Expr::Var(name) => {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.push(name.id);
                }
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            _ => {}
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.contains(&name))
    }

    fn refuse(&mut self, span: Span, message: String) {
        if self.problem.is_none() {
            self.problem = Some(TemplateError::new(self.base + span.start_offset as usize, message));
        }
    }
}
