//! Reads a source into [`Facts`], by its syntax tree.
//!
//! In: a source that Luau compiles. Out: the facts, or nothing if the tree cannot be made: the parser is another one than
//! Luau's own, and may know less. Must not judge anything.

use std::rc::Rc;

use full_moon::ast::{
    Assignment, BinOp, Block, Expression, Field, FunctionBody, If, LastStmt, LuaVersion, Parameter, Stmt, Var,
};
use full_moon::tokenizer::{StringLiteralQuoteType, TokenReference, TokenType};

use super::facts::{Entry, Facts, GlobalRead, How, Local, Spot, Term};

mod paths;

/// Reads a source.
pub(super) fn read(text: &str) -> Option<Facts> {
    let ast = full_moon::parse_fallible(text, LuaVersion::luau()).into_result().ok()?;
    let mut reader = Reader::default();
    reader.block(ast.nodes());
    Some(reader.facts)
}

#[derive(Default)]
struct Reader {
    facts: Facts,
    /// Names in force, the innermost last.
    scopes: Vec<Vec<(Rc<str>, usize)>>,
    within: Vec<usize>,
}

pub(super) fn spot(token: &TokenReference) -> Spot {
    let at = token.start_position();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Spot {
        line: number(at.line()),
        column: number(at.character()),
    }
}

fn name_of(token: &TokenReference) -> Rc<str> {
    match token.token_type() {
        TokenType::Identifier { identifier } => identifier.as_str().into(),
        _ => token.token().to_string().into(),
    }
}

/// A literal text; one with escapes is not read.
fn text_of(token: &TokenReference) -> Term {
    match token.token_type() {
        TokenType::StringLiteral {
            literal, quote_type, ..
        } => match *quote_type == StringLiteralQuoteType::Brackets || !literal.contains('\\') {
            true => Term::Text(literal.as_str().into()),
            false => Term::Unknown,
        },
        _ => Term::Unknown,
    }
}

impl Reader {
    fn block(&mut self, block: &Block) {
        self.scopes.push(Vec::new());
        self.statements(block);
        self.scopes.pop();
    }

    fn statements(&mut self, block: &Block) {
        for statement in block.stmts() {
            self.statement(statement);
        }
        if let Some(LastStmt::Return(answer)) = block.last_stmt() {
            for value in answer.returns() {
                self.expression(value);
            }
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Assignment(assignment) => self.assignment(assignment),
            Stmt::Do(inner) => self.block(inner.block()),
            Stmt::FunctionCall(call) => drop(self.call(call)),
            Stmt::FunctionDeclaration(declared) => {
                let mut names = declared.name().names().iter();
                let first = names.next();
                let is_member = names.next().is_some() || declared.name().method_name().is_some();
                match first {
                    Some(first) if is_member => drop(self.read_name(first)),
                    Some(first) => self.set_name(first),
                    None => {}
                }
                self.function(declared.body(), declared.name().method_name().is_some());
            }
            Stmt::GenericFor(each) => {
                let values: Vec<Term> = each.expressions().iter().map(|value| self.expression(value)).collect();
                drop(values);
                self.scopes.push(Vec::new());
                for name in each.names() {
                    self.declare(name, Term::Unknown);
                }
                self.statements(each.block());
                self.scopes.pop();
            }
            Stmt::If(branches) => self.branches(branches),
            Stmt::LocalAssignment(local) => {
                let names: Vec<&TokenReference> = local.names().iter().collect();
                self.locals(&names, local.expressions().iter());
            }
            Stmt::ConstAssignment(local) => {
                let names: Vec<&TokenReference> = local.names().iter().collect();
                self.locals(&names, local.expressions().iter());
            }
            Stmt::LocalFunction(local) => self.local_function(local.name(), local.body()),
            Stmt::ConstFunction(local) => self.local_function(local.name(), local.body()),
            Stmt::NumericFor(count) => {
                self.expression(count.start());
                self.expression(count.end());
                if let Some(step) = count.step() {
                    self.expression(step);
                }
                self.scopes.push(Vec::new());
                self.declare(count.index_variable(), Term::Unknown);
                self.statements(count.block());
                self.scopes.pop();
            }
            Stmt::Repeat(repeat) => {
                // The condition sees what the block declares.
                self.scopes.push(Vec::new());
                self.statements(repeat.block());
                self.expression(repeat.until());
                self.scopes.pop();
            }
            Stmt::While(repeat) => {
                self.expression(repeat.condition());
                self.block(repeat.block());
            }
            Stmt::CompoundAssignment(change) => {
                self.expression(change.rhs());
                self.var(change.lhs(), How::Read);
                self.assign(change.lhs());
            }
            // Types say nothing of values.
            _ => {}
        }
    }

    fn locals<'a>(&mut self, names: &[&TokenReference], values: impl Iterator<Item = &'a Expression>) {
        let values: Vec<Term> = values.map(|value| self.expression(value)).collect();
        for (at, name) in names.iter().enumerate() {
            self.declare(name, values.get(at).cloned().unwrap_or(Term::Unknown));
        }
    }

    fn local_function(&mut self, name: &TokenReference, body: &FunctionBody) {
        let at = self.declare(name, Term::Unknown);
        let function = self.function(body, false);
        if let Some(local) = self.facts.locals.get_mut(at) {
            local.value = function;
        }
    }

    fn branches(&mut self, branches: &If) {
        self.expression(branches.condition());
        self.block(branches.block());
        for branch in branches.else_if().into_iter().flatten() {
            self.expression(branch.condition());
            self.block(branch.block());
        }
        if let Some(block) = branches.else_block() {
            self.block(block);
        }
    }

    fn assignment(&mut self, assignment: &Assignment) {
        for value in assignment.expressions() {
            self.expression(value);
        }
        for variable in assignment.variables() {
            self.assign(variable);
        }
    }

    fn assign(&mut self, variable: &Var) {
        match variable {
            Var::Name(name) => self.set_name(name),
            other => drop(self.var(other, How::Write)),
        }
    }

    fn declare(&mut self, name: &TokenReference, value: Term) -> usize {
        let at = self.facts.locals.len();
        let name = name_of(name);
        self.facts.locals.push(Local {
            value,
            assigned: false,
            reads: 0,
        });
        if let Some(scope) = self.scopes.last_mut() {
            scope.push((name, at));
        }
        at
    }

    fn find(&self, name: &str) -> Option<usize> {
        let all = self.scopes.iter().rev().flat_map(|scope| scope.iter().rev());
        all.into_iter().find(|(known, _)| **known == *name).map(|(_, at)| *at)
    }

    fn set_name(&mut self, token: &TokenReference) {
        let name = name_of(token);
        match self.find(&name).and_then(|at| self.facts.locals.get_mut(at)) {
            Some(local) => local.assigned = true,
            None => drop(self.facts.set.insert(name)),
        }
    }

    fn read_name(&mut self, token: &TokenReference) -> Term {
        let name = name_of(token);
        if let Some(at) = self.find(&name) {
            if let Some(local) = self.facts.locals.get_mut(at) {
                local.reads += 1;
            }
            return Term::Local(at);
        }
        let near = self.scopes.iter().flatten().map(|(name, _)| Rc::clone(name)).collect();
        self.facts.globals.push(GlobalRead {
            name: Rc::clone(&name),
            spot: spot(token),
            near,
        });
        Term::Global(name)
    }

    fn function(&mut self, body: &FunctionBody, has_self: bool) -> Term {
        let id = self.facts.functions;
        self.facts.functions += 1;
        self.within.push(id);
        self.scopes.push(Vec::new());
        if has_self {
            let at = self.facts.locals.len();
            self.facts.locals.push(Local {
                value: Term::Unknown,
                assigned: false,
                reads: 0,
            });
            self.scopes.extend([vec![("self".into(), at)]]);
        }
        for (at, parameter) in body.parameters().iter().enumerate() {
            if let Parameter::Name(name) = parameter {
                self.declare(name, Term::Parameter(id, at));
            }
        }
        self.statements(body.block());
        self.scopes.pop();
        if has_self {
            self.scopes.pop();
        }
        self.within.pop();
        Term::Function(id)
    }

    fn expression(&mut self, expression: &Expression) -> Term {
        match expression {
            Expression::BinaryOperator { lhs, binop, rhs } => {
                let (left, _) = (self.expression(lhs), self.expression(rhs));
                match (binop, left) {
                    (BinOp::TwoDots(_), Term::Text(text) | Term::Starts(text)) => Term::Starts(text),
                    _ => Term::Unknown,
                }
            }
            Expression::Parentheses { expression, .. } => self.expression(expression),
            Expression::UnaryOperator { expression, .. } => {
                self.expression(expression);
                Term::Unknown
            }
            Expression::Function(function) => self.function(function.body(), false),
            Expression::FunctionCall(call) => self.call(call),
            Expression::IfExpression(choice) => {
                self.expression(choice.condition());
                self.expression(choice.if_expression());
                for branch in choice.else_if_expressions().into_iter().flatten() {
                    self.expression(branch.condition());
                    self.expression(branch.expression());
                }
                self.expression(choice.else_expression());
                Term::Unknown
            }
            Expression::InterpolatedString(text) => {
                for inner in text.expressions() {
                    self.expression(inner);
                }
                Term::Unknown
            }
            Expression::TableConstructor(table) => Term::Table(self.table(table.fields().iter())),
            Expression::Number(token) => {
                let number = token.token().to_string().replace('_', "").parse();
                number.map_or(Term::Unknown, Term::Number)
            }
            Expression::String(token) => text_of(token),
            Expression::Symbol(token) => match token.token().to_string().as_str() {
                "true" => Term::Boolean(true),
                "false" => Term::Boolean(false),
                _ => Term::Unknown,
            },
            Expression::TypeAssertion { expression, .. } => {
                self.expression(expression);
                Term::Unknown
            }
            Expression::Var(variable) => self.var(variable, How::Read),
            _ => Term::Unknown,
        }
    }

    fn table<'a>(&mut self, fields: impl Iterator<Item = &'a Field>) -> Rc<[Entry]> {
        let mut entries = Vec::new();
        for field in fields {
            let (key, value, at) = match field {
                Field::NameKey { key, value, .. } => (Some(name_of(key)), &**value, Some(spot(key))),
                Field::ExpressionKey { key, value, .. } => {
                    self.expression(key);
                    (None, &**value, None)
                }
                Field::NoKey(value) => (None, value, None),
                _ => continue,
            };
            let value_at = first_spot(value);
            let value = self.expression(value);
            let spot = at.unwrap_or(value_at);
            entries.push(Entry { key, value, spot });
        }
        entries.into()
    }
}

fn first_spot(expression: &Expression) -> Spot {
    use full_moon::node::Node as _;
    let at = expression.start_position();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Spot {
        line: at.map_or(1, |at| number(at.line())),
        column: at.map_or(1, |at| number(at.character())),
    }
}
