//! Which guards there are, by reading the source.
//!
//! - **made**: an expression that makes a condition of a write: `Expect::...` but `Expect::Any`, `Cond::...`.
//!   Removed, it is the condition that always holds.
//! - **handed on**: a value named `expect` that becomes the condition of a write. Removed, the same; so the
//!   version that a record was read at is tried at each write of it, not once where it was read.
//! - **compared**: `==`, `!=` and the orderings, where an operand speaks of what only grows or has one owner
//!   ([`WORDS`]). Removed, equality holds and inequality does not; an ordering is tried both ways.
//! - **carried out**: in the table of one machine, the arm of a `match` that judges one kind of condition.
//!   Removed, it holds.
//!
//! Not seen: comparisons inside of methods (`max`, `contains`), and SQL.

use proc_macro2::{Span, TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fmt, fs};
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Expr, Item, Meta, Pat, Token};

/// The crates whose guards are looked for, as folders of `shared`.
pub const CRATES: [&str; 6] = ["model", "engine", "driver", "host", "local", "api"];

/// Of these crates only some files decide or judge conditions; the rest moves bytes.
const ONLY: [(&str, &[&str]); 1] = [("local", &["rows.rs", "memory.rs"])];

/// What a comparison must speak of to be a guard. Parts of names count: `token_order`, `settled_attempts`.
pub const WORDS: [&str; 13] = [
    "fence",
    "generation",
    "version",
    "revision",
    "holder",
    "token",
    "order",
    "sequence",
    "sequencer",
    "etag",
    "attempt",
    "digest",
    "execution",
];

/// Where conditions are judged, not made.
const JUDGES: [&str; 2] = ["model/item.rs", "local/rows.rs"];

/// How much of a guard's text its name holds, in characters.
const TEXT_MAX: usize = 100;

/// One guard and one way to take it away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// Its name, the same after changes elsewhere in its file.
    pub name: Name,
    /// Where its text stands in the file, in bytes.
    pub place: Range<usize>,
    /// How it is taken away.
    pub removal: Removal,
}

/// A guard's name: what a committed list says of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name {
    /// Crate and path below its `src`: `engine/slots.rs`.
    pub file: String,
    /// Function, text, and where needed which way and the how manyth with this text.
    pub guard: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.file, self.guard)
    }
}

/// What stands in a removed guard's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Removal {
    /// `Expect::Any` for an expectation that was made here.
    ExpectAny,
    /// `Expect::Any` for one that was handed on.
    HandedAny,
    /// The same, where a field is filled by the variable of its name.
    FieldAny,
    /// A condition that always holds.
    CondHolds,
    /// A comparison that holds.
    True,
    /// A comparison that does not.
    False,
    /// A condition that is judged to hold.
    Judged,
}

impl Removal {
    /// The kind of guard, for counts.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ExpectAny | Self::CondHolds => "made",
            Self::HandedAny | Self::FieldAny => "handed on",
            Self::True | Self::False => "compared",
            Self::Judged => "carried out",
        }
    }
}

/// Every guard of the workspace, in the order of crates, files and text.
pub fn all(workspace: &Path) -> Result<Vec<Guard>, String> {
    let mut guards = Vec::new();
    for name in CRATES {
        let source = workspace.join("shared").join(name).join("src");
        let mut files = Vec::new();
        modules(&source.join("lib.rs"), &source, &mut files)?;
        files.sort();
        for path in files {
            let below = path.strip_prefix(&source).unwrap_or(&path).display().to_string();
            let only = ONLY.iter().find(|(other, _)| *other == name);
            if only.is_some_and(|(_, files)| !files.contains(&below.as_str())) {
                continue;
            }
            let text = read(&path)?;
            guards.extend(of_file(&format!("{name}/{below}"), &text)?);
        }
    }
    Ok(guards)
}

/// The file that a guard's `file` names, below a workspace.
pub fn path(workspace: &Path, file: &str) -> PathBuf {
    let (name, below) = file.split_once('/').unwrap_or((file, ""));
    workspace.join("shared").join(name).join("src").join(below)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// A file and the files of the modules that it declares, without those of tests.
fn modules(file: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let parsed =
        syn::parse_file(&read(file)?).map_err(|error| format!("{} is no Rust: {error}", file.display()))?;
    found.push(file.to_path_buf());
    for item in parsed.items {
        let Item::Mod(module) = item else { continue };
        if module.content.is_some() || of_tests(&module.attrs) {
            continue;
        }
        let name = module.ident.to_string();
        let paths = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
        match paths.iter().find(|path| path.exists()) {
            Some(path) => modules(path, &folder.join(&name), found)?,
            // Named by `#[path]`: one of several for this machine. None of them decides.
            None if module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) => {}
            None => return Err(format!("{} declares a module {name} that is no file", file.display())),
        }
    }
    Ok(())
}

fn of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(_) => false,
    })
}

/// The guards of one file's text.
pub fn of_file(file: &str, text: &str) -> Result<Vec<Guard>, String> {
    let parsed = syn::parse_file(text).map_err(|error| format!("{file} is no Rust: {error}"))?;
    let mut reader = Reader { file, text, scope: Vec::new(), found: Vec::new(), unseen: Vec::new() };
    reader.visit_file(&parsed);
    if !reader.unseen.is_empty() {
        return Err(reader.unseen.join("\n"));
    }
    let mut found = reader.found;
    found.sort_by_key(|(_, place, removal)| (place.start, *removal));
    // An arm that is one comparison is one guard.
    let judged: Vec<Range<usize>> =
        found.iter().filter(|found| found.2 == Removal::Judged).map(|found| found.1.clone()).collect();
    found.retain(|(_, place, removal)| *removal == Removal::Judged || !judged.contains(place));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    Ok(found
        .into_iter()
        .map(|(guard, place, removal)| {
            let times = seen.entry(guard.clone()).or_default();
            *times += 1;
            let guard = if *times == 1 { guard } else { format!("{guard} #{times}") };
            Guard { name: Name { file: file.to_owned(), guard }, place, removal }
        })
        .collect())
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// The functions, and the types that they are of, around what is read.
    scope: Vec<String>,
    found: Vec<(String, Range<usize>, Removal)>,
    unseen: Vec<String>,
}

impl Reader<'_> {
    fn add(&mut self, span: Span, removal: Removal) {
        let place = span.byte_range();
        let words: Vec<&str> = self.text[place.clone()].split_whitespace().collect();
        let mut text =
            words.join(" ").replace("( ", "(").replace(", )", ")").replace(" )", ")").replace(" .", ".");
        if text.chars().count() > TEXT_MAX {
            text = text.chars().take(TEXT_MAX).chain(['…']).collect();
        }
        let way = match removal {
            Removal::True | Removal::False => format!(" -> {}", removal == Removal::True),
            _ => String::new(),
        };
        self.found.push((format!("{}: {text}{way}", self.scope.join("::")), place, removal));
    }

    fn scoped(&mut self, name: String, read: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        read(self);
        self.scope.pop();
    }

    /// What is handed on as the condition of a write.
    fn handed(&mut self, value: &Expr, removal: Removal) {
        let is_expect = match value {
            Expr::Path(path) => path.path.is_ident("expect"),
            Expr::Field(field) => matches!(&field.member, syn::Member::Named(name) if name == "expect"),
            _ => false,
        };
        if is_expect {
            self.add(value.span(), removal);
        }
    }

    fn compared(&mut self, compared: &syn::ExprBinary) {
        let ways: &[Removal] = match compared.op {
            BinOp::Eq(_) => &[Removal::True],
            BinOp::Ne(_) => &[Removal::False],
            BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => &[Removal::True, Removal::False],
            _ => return,
        };
        let mut names = Names(Vec::new());
        names.visit_expr(&compared.left);
        names.visit_expr(&compared.right);
        let speaks = names.0.iter().any(|name| {
            name.split('_').any(|part| WORDS.contains(&part) || WORDS.contains(&part.trim_end_matches('s')))
        });
        if speaks {
            for way in ways {
                self.add(compared.span(), *way);
            }
        }
    }

    /// The variant's type, if a path names a variant of the two kinds of conditions.
    fn condition(&self, path: &syn::Path) -> Option<Removal> {
        let mut names = path.segments.iter().rev().map(|segment| segment.ident.to_string());
        let (variant, of) = (names.next()?, names.next()?);
        match of.as_str() {
            "Expect" if variant != "Any" => Some(Removal::ExpectAny),
            "Cond" => Some(Removal::CondHolds),
            "Self" if self.scope.first().is_some_and(|scope| scope == "Cond") => Some(Removal::CondHolds),
            _ => None,
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(function) => &function.attrs,
            Item::Impl(block) => &block.attrs,
            Item::Mod(module) => &module.attrs,
            // Constants are no decisions, and their values cannot be switched.
            Item::Const(_) | Item::Static(_) => return,
            _ => return visit::visit_item(self, item),
        };
        if !of_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.scoped(function.sig.ident.to_string(), |reader| visit::visit_item_fn(reader, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !of_tests(&function.attrs) {
            self.scoped(function.sig.ident.to_string(), |reader| visit::visit_impl_item_fn(reader, function));
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let name = match &*block.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        self.scoped(name.unwrap_or_default(), |reader| visit::visit_item_impl(reader, block));
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Binary(compared) => self.compared(compared),
            Expr::Call(call) => {
                call.args.iter().for_each(|value| self.handed(value, Removal::HandedAny));
                if let Expr::Path(path) = &*call.func
                    && let Some(removal) = self.condition(&path.path)
                {
                    self.add(expr.span(), removal);
                    // The path itself is no second guard.
                    call.args.iter().for_each(|value| self.visit_expr(value));
                    return;
                }
            }
            Expr::MethodCall(call) => {
                call.args.iter().for_each(|value| self.handed(value, Removal::HandedAny))
            }
            Expr::Struct(made) if made.path.segments.iter().any(|part| part.ident == "Write") => {
                for field in &made.fields {
                    if matches!(&field.member, syn::Member::Named(name) if name == "expect") {
                        let short = field.colon_token.is_none();
                        self.handed(&field.expr, if short { Removal::FieldAny } else { Removal::HandedAny });
                    }
                }
            }
            Expr::Path(path) => {
                if let Some(removal) = self.condition(&path.path) {
                    self.add(expr.span(), removal);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if JUDGES.contains(&self.file) {
            let path = match &arm.pat {
                Pat::Path(path) => Some(&path.path),
                Pat::TupleStruct(pattern) => Some(&pattern.path),
                _ => None,
            };
            if path.is_some_and(|path| self.condition(path).is_some()) {
                self.add(arm.body.span(), Removal::Judged);
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let tokens = called.tokens.clone();
        if let Ok(parts) = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens.clone()) {
            parts.iter().for_each(|part| self.visit_expr(part));
        } else if let Ok((value, guard)) = matching.parse2(tokens.clone()) {
            self.visit_expr(&value);
            if let Some(guard) = guard {
                self.visit_expr(&guard);
            }
        } else if conditions(tokens) {
            self.unseen.push(format!(
                "{}: {}: a condition inside of `{}!`, which cannot be read: write it outside",
                self.file,
                self.scope.join("::"),
                called.path.segments.last().map_or_else(String::new, |last| last.ident.to_string())
            ));
        }
    }
}

/// What `matches!` takes: a value, a pattern, perhaps a condition.
fn matching(input: ParseStream<'_>) -> syn::Result<(Expr, Option<Expr>)> {
    let value = input.parse()?;
    input.parse::<Token![,]>()?;
    Pat::parse_multi_with_leading_vert(input)?;
    let guard = if input.peek(Token![if]) {
        input.parse::<Token![if]>()?;
        Some(input.parse()?)
    } else {
        None
    };
    input.parse::<Option<Token![,]>>()?;
    Ok((value, guard))
}

fn conditions(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(name) => name == "Expect" || name == "Cond",
        TokenTree::Group(group) => conditions(group.stream()),
        _ => false,
    })
}

/// All that an operand names: variables, fields, methods, functions.
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, name: &'ast syn::Ident) {
        self.0.push(name.to_string());
    }
}
