//! Tokens to tree, by operator precedence (Pratt). Each construct is completed as it is read:
//! paths are flattened, filters attached to their step, and `%` resolved in `ancestry`.

use serde_json::Number;

use super::MAX_NESTING;
use super::ancestry::Ancestry;
use super::ast::{Kind, Lambda, Node, Operator, Slot, Stage, Term, Transform};
use super::error::JsonataError;
use super::functions;
use super::lexer::{Lexer, Token};
use super::signature::Signature;

/// Parses a whole source; the slots are those of its parent operators.
pub(super) fn parse(source: &str) -> Result<(Node, Vec<Slot>), JsonataError> {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        token: Token::End,
        position: 0,
        nesting: 0,
        ancestry: Ancestry::default(),
    };
    parser.advance(true)?;
    let root = parser.expression(0)?;
    if !matches!(parser.token, Token::End) {
        return Err(parser.error("S0201", format!("Syntax error: {}", parser.token.shown())));
    }
    if matches!(root.kind, Kind::Parent(_)) || !root.seeking.is_empty() {
        return Err(Ancestry::underivable(root.position));
    }
    Ok((root, parser.ancestry.slots))
}

struct Parser {
    lexer: Lexer,
    /// The token not yet consumed, and the character behind it.
    token: Token,
    position: usize,
    nesting: usize,
    ancestry: Ancestry,
}

/// How strongly an operator binds to its left; 0 ends the expression.
fn binding(operator: &str) -> usize {
    match operator {
        "(" | "[" | "@" | "#" => 80,
        "." => 75,
        "{" => 70,
        "*" | "/" | "%" => 60,
        "+" | "-" | "&" => 50,
        "=" | "!=" | "<" | "<=" | ">" | ">=" | "^" | "~>" | "in" => 40,
        "and" => 30,
        "or" => 25,
        "?" => 20,
        ":=" => 10,
        _ => 0,
    }
}

impl Parser {
    fn error(&self, code: &'static str, message: impl Into<String>) -> JsonataError {
        JsonataError::syntax(code, self.position, message)
    }

    fn advance(&mut self, operand: bool) -> Result<Token, JsonataError> {
        let next = self.lexer.next(operand)?;
        self.position = self.lexer.position;
        if let Token::Operator(operator @ ("!" | "~")) = next {
            return Err(self.error("S0204", format!("Unknown operator: \"{operator}\"")));
        }
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn is(&self, operator: &str) -> bool {
        matches!(self.token, Token::Operator(found) if found == operator)
    }

    /// Consumes `operator`; `operand` as for [`Lexer::next`].
    fn expect(&mut self, operator: &str, operand: bool) -> Result<(), JsonataError> {
        if self.is(operator) {
            return self.advance(operand).map(drop);
        }
        Err(match self.token {
            Token::End => self.error("S0203", format!("Expected \"{operator}\" before end of expression")),
            _ => self.error("S0202", format!("Expected \"{operator}\", got {}", self.token.shown())),
        })
    }

    fn expression(&mut self, right_binding: usize) -> Result<Node, JsonataError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(too_deep());
        }
        let parsed = stacker::maybe_grow(super::STACK_RESERVE, super::STACK_SEGMENT, || {
            let mut left = self.prefix()?;
            loop {
                let Token::Operator(operator) = self.token else { break };
                if binding(operator) <= right_binding {
                    break;
                }
                let position = self.position;
                self.advance(true)?;
                left = self.infix(operator, left, position)?;
                if left.height > MAX_NESTING {
                    return Err(too_deep());
                }
            }
            Ok(left)
        });
        self.nesting -= 1;
        parsed
    }

    fn prefix(&mut self) -> Result<Node, JsonataError> {
        let position = self.position;
        // Behind an opening bracket or a minus sign a pattern may stand, behind a value it may not.
        let operand = matches!(self.token, Token::Operator("(" | "[" | "{" | "-" | "|"));
        let token = self.advance(operand)?;
        let kind = match token {
            Token::Null => Kind::Null,
            Token::Bool(value) => Kind::Bool(value),
            Token::Number(number) => Kind::Number(exact(number)),
            Token::Text(text) => Kind::Text(text),
            Token::Regex(regex) => Kind::Regex(regex),
            Token::Variable(name) => {
                let builtin = functions::named(&name);
                Kind::Variable(name, builtin)
            }
            Token::Name(name) => return Ok(name_path(name, position)),
            Token::Operator(operator) => return self.prefix_operator(operator, position),
            Token::End => {
                return Err(JsonataError::syntax("S0207", position, "Unexpected end of expression"));
            }
        };
        Ok(Node::new(kind, position))
    }

    fn prefix_operator(&mut self, operator: &'static str, position: usize) -> Result<Node, JsonataError> {
        match operator {
            "and" | "or" | "in" => Ok(name_path(operator.to_owned(), position)),
            "*" => Ok(Node::new(Kind::Wildcard, position)),
            "**" => Ok(Node::new(Kind::Descendants, position)),
            "%" => Ok(self.ancestry.parent(position)),
            "-" => {
                let inner = self.expression(70)?;
                if let Kind::Number(number) = &inner.kind {
                    let negated = exact(-number.as_f64().unwrap_or(0.0));
                    return Ok(Node::new(Kind::Number(negated), position));
                }
                let mut seeking = Vec::new();
                Ancestry::collect(&mut seeking, &inner);
                let mut node = Node::new(Kind::Negate(Box::new(inner)), position);
                node.seeking = seeking;
                Ok(node)
            }
            "(" => self.block(position),
            "[" => self.array(position),
            "{" => {
                let pairs = self.pairs()?;
                let mut seeking = Vec::new();
                for (key, value) in &pairs {
                    Ancestry::collect(&mut seeking, key);
                    Ancestry::collect(&mut seeking, value);
                }
                let mut node = Node::new(Kind::Object(pairs), position);
                node.seeking = seeking;
                Ok(node)
            }
            "|" => {
                let pattern = self.expression(0)?;
                self.expect("|", true)?;
                let update = self.expression(0)?;
                let delete = if self.is(",") {
                    self.advance(true)?;
                    Some(self.expression(0)?)
                } else {
                    None
                };
                self.expect("|", false)?;
                let transform = Transform { pattern, update, delete };
                Ok(Node::new(Kind::Transform(Box::new(transform)), position))
            }
            _ => Err(JsonataError::syntax(
                "S0211",
                position,
                format!("The symbol \"{operator}\" cannot be used as a unary operator"),
            )),
        }
    }

    fn block(&mut self, position: usize) -> Result<Node, JsonataError> {
        let mut parts = Vec::new();
        while !self.is(")") {
            parts.push(self.expression(0)?);
            if !self.is(";") {
                break;
            }
            self.advance(true)?;
        }
        self.expect(")", false)?;
        let mut seeking = Vec::new();
        parts.iter().for_each(|part| Ancestry::collect(&mut seeking, part));
        let constructs = parts.iter().any(Node::begins_with_constructor);
        let mut node = Node::new(Kind::Block(parts), position);
        node.seeking = seeking;
        node.constructs = constructs;
        Ok(node)
    }

    fn array(&mut self, position: usize) -> Result<Node, JsonataError> {
        let mut items = Vec::new();
        let mut seeking = Vec::new();
        if !self.is("]") {
            loop {
                let mut item = self.expression(0)?;
                if self.is("..") {
                    let position = self.position;
                    self.advance(true)?;
                    let end = self.expression(0)?;
                    item = binary(Operator::Range, item, end, position);
                }
                Ancestry::collect(&mut seeking, &item);
                items.push(item);
                if !self.is(",") {
                    break;
                }
                self.advance(true)?;
            }
        }
        self.expect("]", false)?;
        let mut node = Node::new(Kind::Array(items), position);
        node.seeking = seeking;
        Ok(node)
    }

    fn pairs(&mut self) -> Result<Vec<(Node, Node)>, JsonataError> {
        let mut pairs = Vec::new();
        if !self.is("}") {
            loop {
                let key = self.expression(0)?;
                self.expect(":", true)?;
                let value = self.expression(0)?;
                pairs.push((key, value));
                if !self.is(",") {
                    break;
                }
                self.advance(true)?;
            }
        }
        self.expect("}", false)?;
        Ok(pairs)
    }

    fn infix(&mut self, operator: &'static str, left: Node, position: usize) -> Result<Node, JsonataError> {
        let simple = match operator {
            "+" => Operator::Add,
            "-" => Operator::Subtract,
            "*" => Operator::Multiply,
            "/" => Operator::Divide,
            "%" => Operator::Remainder,
            "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "&" => Operator::Concatenate,
            "and" => Operator::And,
            "or" => Operator::Or,
            "in" => Operator::In,
            "." => {
                let right = self.expression(75)?;
                return self.step(left, right);
            }
            "[" => return self.filter(left, position),
            "{" => return self.group(left, position),
            "(" => return self.call(left, position),
            "^" => return self.sort(left, position),
            "@" | "#" => return self.binding(operator, left, position),
            ":=" => {
                let (Kind::Variable(name, _), None) = (left.kind, left.trimmings) else {
                    return Err(JsonataError::syntax(
                        "S0212",
                        left.position,
                        "The left side of := must be a variable name (start with $)",
                    ));
                };
                let value = self.expression(9)?;
                let mut seeking = Vec::new();
                Ancestry::collect(&mut seeking, &value);
                let mut node = Node::new(Kind::Bind(name, Box::new(value)), position);
                node.seeking = seeking;
                return Ok(node);
            }
            "~>" => {
                let right = self.expression(40)?;
                let keep_array = left.keep_array || right.keep_array;
                let mut node = Node::new(Kind::Apply(Box::new(left), Box::new(right)), position);
                node.keep_array = keep_array;
                return Ok(node);
            }
            "?" => return self.condition(left, position),
            _ => return Err(self.error("S0204", format!("Unknown operator: \"{operator}\""))),
        };
        let right = self.expression(binding(operator))?;
        Ok(binary(simple, left, right, position))
    }

    fn condition(&mut self, condition: Node, position: usize) -> Result<Node, JsonataError> {
        let then = self.expression(0)?;
        let otherwise = if self.is(":") {
            self.advance(true)?;
            Some(Box::new(self.expression(0)?))
        } else {
            None
        };
        let mut seeking = Vec::new();
        Ancestry::collect(&mut seeking, &condition);
        Ancestry::collect(&mut seeking, &then);
        otherwise.iter().for_each(|node| Ancestry::collect(&mut seeking, node));
        let kind = Kind::Condition(Box::new(condition), Box::new(then), otherwise);
        let mut node = Node::new(kind, position);
        node.seeking = seeking;
        Ok(node)
    }

    /// `left.right`.
    fn step(&mut self, left: Node, right: Node) -> Result<Node, JsonataError> {
        let mut path = into_path(left);
        let position = path.position;
        let right_keeps = matches!(right.kind, Kind::Path { keep_singleton: true, .. });
        let added = match right.kind {
            Kind::Path { steps, .. } if right.trimmings.is_none() => steps,
            kind => {
                let mut step = Node { kind, ..right };
                if let Some(trimmings) = &mut step.trimmings {
                    trimmings.stages = trimmings.predicates.drain(..).map(Stage::Filter).collect();
                }
                vec![step]
            }
        };
        let Kind::Path { mut steps, mut keep_singleton, .. } = path.kind else {
            return Err(self.error("S0206", "Unknown expression type: \"path\""));
        };
        steps.extend(added);
        for step in &mut steps {
            match &mut step.kind {
                Kind::Number(_) | Kind::Bool(_) | Kind::Null => {
                    return Err(JsonataError::syntax(
                        "S0213",
                        step.position,
                        format!(
                            "The literal value {} cannot be used as a step within a path expression",
                            literal_text(&step.kind)
                        ),
                    ));
                }
                Kind::Text(text) => step.kind = Kind::Name(std::mem::take(text)),
                _ => {}
            }
            keep_singleton |= step.keep_array;
        }
        keep_singleton |= right_keeps;
        if let Some(first) = steps.first_mut() {
            first.constructs |= matches!(first.kind, Kind::Array(_));
        }
        if let Some(last) = steps.last_mut() {
            last.constructs |= matches!(last.kind, Kind::Array(_));
        }
        path.seeking.extend(self.ancestry.resolve(&mut steps)?);
        let mut node = path_node(steps, keep_singleton, position);
        node.seeking = path.seeking;
        node.trimmings = path.trimmings;
        node.tuple = path.tuple;
        Ok(node)
    }

    fn filter(&mut self, mut left: Node, position: usize) -> Result<Node, JsonataError> {
        if self.is("]") {
            self.advance(false)?;
            if let Kind::Path { steps, keep_singleton, plain } = &mut left.kind {
                (*keep_singleton, *plain) = (true, false);
                if let Some(last) = steps.last_mut() {
                    last.keep_array = true;
                }
            } else {
                left.keep_array = true;
            }
            return Ok(left);
        }
        let mut condition = self.expression(0)?;
        self.expect("]", false)?;
        let in_path = matches!(left.kind, Kind::Path { .. });
        let step = match &mut left.kind {
            Kind::Path { steps, plain, .. } => {
                *plain = false;
                match steps.last_mut() {
                    Some(step) => step,
                    None => return Err(self.error("S0206", "Unknown expression type: \"path\"")),
                }
            }
            _ => &mut left,
        };
        if step.trimmings.as_ref().is_some_and(|trimmings| trimmings.group.is_some()) {
            return Err(JsonataError::syntax(
                "S0209",
                position,
                "A predicate cannot follow a grouping expression in a step",
            ));
        }
        self.ancestry.resolve_filter(step, &mut condition)?;
        step.height = step.height.max(condition.height + 1);
        let height = step.height + 1;
        if in_path {
            step.trimmings_mut().stages.push(Stage::Filter(condition));
            left.height = left.height.max(height);
        } else {
            step.trimmings_mut().predicates.push(condition);
        }
        Ok(left)
    }

    fn group(&mut self, mut left: Node, position: usize) -> Result<Node, JsonataError> {
        let pairs = self.pairs()?;
        if left.trimmings.as_ref().is_some_and(|trimmings| trimmings.group.is_some()) {
            return Err(JsonataError::syntax(
                "S0210",
                position,
                "Each step can only have one grouping expression",
            ));
        }
        let deepest = pairs.iter().flat_map(|(key, value)| [key.height, value.height]).max().unwrap_or(0);
        left.height = left.height.max(deepest + 1);
        if let Kind::Path { plain, .. } = &mut left.kind {
            *plain = false;
        }
        left.trimmings_mut().group = Some(pairs);
        Ok(left)
    }

    fn sort(&mut self, left: Node, position: usize) -> Result<Node, JsonataError> {
        self.expect("(", true)?;
        let mut terms = Vec::new();
        let mut seeking = Vec::new();
        loop {
            let descending = self.is(">");
            if descending || self.is("<") {
                self.advance(true)?;
            }
            let expression = self.expression(0)?;
            Ancestry::collect(&mut seeking, &expression);
            terms.push(Term { descending, expression });
            if !self.is(",") {
                break;
            }
            self.advance(true)?;
        }
        self.expect(")", false)?;
        let mut sort = Node::new(Kind::Sort(terms), position);
        sort.seeking = seeking;
        let path = into_path(left);
        let Kind::Path { mut steps, keep_singleton, .. } = path.kind else {
            return Err(self.error("S0206", "Unknown expression type: \"path\""));
        };
        steps.push(sort);
        let found = self.ancestry.resolve(&mut steps)?;
        let mut node = path_node(steps, keep_singleton, path.position);
        node.seeking = path.seeking;
        node.seeking.extend(found);
        node.trimmings = path.trimmings;
        node.tuple = path.tuple;
        Ok(node)
    }

    /// `left@$name` or `left#$name`.
    fn binding(&mut self, operator: &'static str, left: Node, position: usize) -> Result<Node, JsonataError> {
        let right = self.expression(80)?;
        let Kind::Variable(name, _) = right.kind else {
            return Err(JsonataError::syntax(
                "S0214",
                right.position,
                format!("The right side of \"{operator}\" must be a variable name (start with $)"),
            ));
        };
        let mut left = if operator == "#" { into_path(left) } else { left };
        let step = match &mut left.kind {
            Kind::Path { steps, plain, .. } => {
                *plain = false;
                match steps.last_mut() {
                    Some(step) => step,
                    None => return Err(self.error("S0206", "Unknown expression type: \"path\"")),
                }
            }
            _ => &mut left,
        };
        step.tuple = true;
        if operator == "#" {
            let trimmings = step.trimmings_mut();
            trimmings.stages.extend(trimmings.predicates.drain(..).map(Stage::Filter));
            if trimmings.stages.is_empty() {
                trimmings.index = Some(name);
            } else {
                trimmings.stages.push(Stage::Index(name));
            }
            return Ok(left);
        }
        if matches!(step.kind, Kind::Sort(_)) {
            return Err(JsonataError::syntax(
                "S0216",
                position,
                "A context variable binding must precede the 'order-by' clause on a step",
            ));
        }
        let trimmings = step.trimmings_mut();
        if !(trimmings.stages.is_empty() && trimmings.predicates.is_empty()) {
            return Err(JsonataError::syntax(
                "S0215",
                position,
                "A context variable binding must precede any predicates on a step",
            ));
        }
        trimmings.focus = Some(name);
        Ok(left)
    }

    fn call(&mut self, left: Node, position: usize) -> Result<Node, JsonataError> {
        let mut arguments = Vec::new();
        if !self.is(")") {
            loop {
                if self.is("?") {
                    self.advance(true)?;
                    arguments.push(None);
                } else {
                    arguments.push(Some(self.expression(0)?));
                }
                if !self.is(",") {
                    break;
                }
                self.advance(true)?;
            }
        }
        self.expect(")", false)?;
        if is_function_keyword(&left) {
            return self.lambda(arguments, position);
        }
        let mut seeking = Vec::new();
        arguments.iter().flatten().for_each(|node| Ancestry::collect(&mut seeking, node));
        let kind = if arguments.iter().all(Option::is_some) {
            Kind::Call(Box::new(left), arguments.into_iter().flatten().collect())
        } else {
            Kind::Partial(Box::new(left), arguments)
        };
        let mut node = Node::new(kind, position);
        node.seeking = seeking;
        Ok(node)
    }

    fn lambda(&mut self, arguments: Vec<Option<Node>>, position: usize) -> Result<Node, JsonataError> {
        let mut parameters = Vec::new();
        for (at, argument) in arguments.into_iter().enumerate() {
            match argument.map(|node| (node.position, node.kind)) {
                Some((_, Kind::Variable(name, _))) => parameters.push(name),
                other => {
                    return Err(JsonataError::syntax(
                        "S0208",
                        other.map_or(position, |(position, _)| position),
                        format!(
                            "Parameter {} of function definition must be a variable name \
                             (start with $)",
                            at + 1
                        ),
                    ));
                }
            }
        }
        let signature = if self.is("<") { Some(self.signature()?) } else { None };
        self.expect("{", true)?;
        let body = self.expression(0)?;
        self.expect("}", false)?;
        let lambda = Lambda { parameters, signature, body };
        Ok(Node::new(Kind::Lambda(Box::new(lambda)), position))
    }

    fn signature(&mut self) -> Result<Signature, JsonataError> {
        let position = self.position;
        let mut text = "<".to_owned();
        let mut depth = 1_usize;
        while depth > 0 && !self.is("{") && !matches!(self.token, Token::End) {
            self.advance(false)?;
            match &self.token {
                Token::Operator(">") => depth -= 1,
                Token::Operator("<") => depth += 1,
                _ => {}
            }
            match &self.token {
                Token::Name(word) => text.push_str(word),
                Token::Operator(symbol) => text.push_str(symbol),
                _ => {}
            }
        }
        self.expect(">", false)?;
        Signature::parse(&text).map_err(|error| JsonataError { position, ..error })
    }
}

fn too_deep() -> JsonataError {
    JsonataError::limit("S0500", format!("the expression nests deeper than {MAX_NESTING} levels"))
}

fn exact(number: f64) -> Number {
    match super::value::Item::number(number) {
        super::value::Item::Number(number) => number,
        _ => Number::from(0),
    }
}

fn literal_text(kind: &Kind) -> String {
    match kind {
        Kind::Number(number) => number.to_string(),
        Kind::Bool(value) => value.to_string(),
        _ => "null".to_owned(),
    }
}

fn is_function_keyword(node: &Node) -> bool {
    let Kind::Path { steps, .. } = &node.kind else { return false };
    matches!(
        steps.as_slice(),
        [Node { kind: Kind::Name(name), .. }] if name == "function" || name == "\u{3bb}"
    )
}

fn name_path(name: String, position: usize) -> Node {
    path_node(vec![Node::new(Kind::Name(name), position)], false, position)
}

/// A path is plain when it is only names, perhaps behind a variable: the fast way applies.
fn path_node(steps: Vec<Node>, keep_singleton: bool, position: usize) -> Node {
    let plain = !keep_singleton
        && steps.iter().enumerate().all(|(at, step)| {
            step.trimmings.is_none()
                && !step.tuple
                && match step.kind {
                    Kind::Name(_) => true,
                    Kind::Variable(..) => at == 0,
                    _ => false,
                }
        });
    Node::new(Kind::Path { steps, keep_singleton, plain }, position)
}

/// The node as a path, unless it is one.
fn into_path(node: Node) -> Node {
    if matches!(node.kind, Kind::Path { .. }) {
        return node;
    }
    let position = node.position;
    let keep = node.keep_array;
    let seeking = match node.kind {
        Kind::Parent(slot) => vec![slot],
        _ => Vec::new(),
    };
    let mut path = path_node(vec![node], keep, position);
    path.seeking = seeking;
    path
}

fn binary(operator: Operator, left: Node, right: Node, position: usize) -> Node {
    let mut seeking = Vec::new();
    Ancestry::collect(&mut seeking, &left);
    Ancestry::collect(&mut seeking, &right);
    let kind = Kind::Binary(operator, Box::new(left), Box::new(right));
    let mut node = Node::new(kind, position);
    node.seeking = seeking;
    node
}
