//! Variables, members and calls: `wharf.kv.get("x")`, `msg:reply("hello").id`.
//!
//! In: parts of the tree. Out: uses and calls among the facts, and what the whole is. Must not know other parts of the tree.

use std::rc::Rc;

use full_moon::ast::{Call as CallAst, FunctionArgs, FunctionCall, Index, Prefix, Suffix, Var};

use super::super::facts::{Call, How, Spot, Term, Use};
use super::{Reader, first_spot, name_of, text_of};

impl Reader {
    pub(super) fn var(&mut self, variable: &Var, how: How) -> Term {
        match variable {
            Var::Name(name) => self.read_name(name),
            Var::Expression(path) => self.path(path.prefix(), path.suffixes(), how),
            _ => Term::Unknown,
        }
    }

    pub(super) fn call(&mut self, call: &FunctionCall) -> Term {
        self.path(call.prefix(), call.suffixes(), How::Read)
    }

    /// Something and what is done with it, one after the other; `how` is said of the last member.
    fn path<'a>(&mut self, prefix: &Prefix, suffixes: impl Iterator<Item = &'a Suffix>, how: How) -> Term {
        let (mut term, mut at) = match prefix {
            Prefix::Name(name) => (self.read_name(name), super::spot(name)),
            Prefix::Expression(inner) => (self.expression(inner), first_spot(inner)),
            _ => return Term::Unknown,
        };
        let suffixes: Vec<&Suffix> = suffixes.collect();
        for (nth, suffix) in suffixes.iter().enumerate() {
            match suffix {
                Suffix::Index(Index::Dot { name, .. }) => {
                    let how = match suffixes.get(nth + 1) {
                        Some(Suffix::Call(CallAst::AnonymousCall(_))) => How::Call,
                        None => how,
                        Some(_) => How::Read,
                    };
                    at = super::spot(name);
                    self.note(&term, name_of(name), how, at);
                    term = Term::Member(Rc::new(term), name_of(name));
                }
                Suffix::Index(Index::Brackets { expression, .. }) => {
                    term = match self.expression(expression) {
                        Term::Text(name) => Term::Member(Rc::new(term), name),
                        _ => Term::Unknown,
                    };
                }
                Suffix::Call(CallAst::AnonymousCall(arguments)) => {
                    let first = self.note_call(&term, None, arguments, at);
                    term = Term::Answer(Rc::new(term), first);
                }
                Suffix::Call(CallAst::MethodCall(method)) => {
                    let name = name_of(method.name());
                    at = super::spot(method.name());
                    self.note(&term, Rc::clone(&name), How::Method, at);
                    self.note_call(&term, Some(Rc::clone(&name)), method.args(), at);
                    term = Term::MethodAnswer(Rc::new(term), name);
                }
                _ => term = Term::Unknown,
            }
        }
        term
    }

    fn note(&mut self, of: &Term, name: Rc<str>, how: How, spot: Spot) {
        self.facts.uses.push(Use {
            of: of.clone(),
            name,
            how,
            spot,
        });
    }

    fn note_call(
        &mut self,
        of: &Term,
        method: Option<Rc<str>>,
        arguments: &FunctionArgs,
        spot: Spot,
    ) -> Option<Rc<str>> {
        let arguments = match arguments {
            FunctionArgs::Parentheses { arguments, .. } => arguments
                .iter()
                .map(|value| (self.expression(value), first_spot(value)))
                .collect(),
            FunctionArgs::String(token) => vec![(text_of(token), super::spot(token))],
            FunctionArgs::TableConstructor(table) => {
                let at = super::spot(table.braces().tokens().0);
                vec![(Term::Table(self.table(table.fields().iter())), at)]
            }
            _ => Vec::new(),
        };
        let first = match arguments.first() {
            Some((Term::Text(text), _)) => Some(Rc::clone(text)),
            _ => None,
        };
        self.facts.calls.push(Call {
            of: of.clone(),
            method,
            arguments,
            spot,
            within: self.within.clone(),
        });
        first
    }
}
