//! Tells up to where a text fits a pattern that does not match it.
//!
//! That is where the last way of reading ends, but for those that come to the end of the text: parts such
//! as `.*` run over everything behind them. There a pattern is taken as a row of parts. What counts is the
//! last part that any way of reading comes to: where it first does, and how far the text fits from there.

use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::{Capture, Hir, HirKind, Repetition};

/// Longest text that is looked at, in bytes: the time is the product of text and pattern, and after a change
/// of format each record takes it.
const TEXT_MAX: usize = 2 << 10;

/// A pattern whose parts can be told apart.
#[derive(Debug)]
pub(super) struct Fit {
    nfa: NFA,
    /// Where each part begins.
    starts: Vec<StateID>,
}

impl Fit {
    /// `None` for patterns that are too large.
    pub(super) fn new(hir: &Hir, size_max: usize) -> Option<Self> {
        let mut parts = Vec::new();
        add_parts(hir, &mut parts);
        let groups = parts.into_iter().zip(1..).map(|(part, index)| {
            Hir::capture(Capture {
                index,
                name: None,
                sub: Box::new(part),
            })
        });
        let config = thompson::Config::new()
            .nfa_size_limit(Some(size_max))
            .which_captures(WhichCaptures::All);
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&Hir::concat(groups.collect()))
            .ok()?;
        let mut starts = vec![nfa.start_anchored()];
        for (id, state) in nfa.states().iter().enumerate() {
            if let Some(part) = part_that_starts(state) {
                starts.resize(starts.len().max(part + 1), nfa.start_anchored());
                starts[part] = StateID::new(id).expect("the number of a state");
            }
        }
        Some(Self { nfa, starts })
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.nfa.memory_usage() + self.starts.len() * size_of::<StateID>()
    }

    /// The byte of a text that does not match at which it goes on in no way that fits; its length if it
    /// ends too early. `None` where that cannot be told.
    pub(super) fn until(&self, text: &str) -> Option<usize> {
        let text = text.as_bytes();
        // The furthest part, and the last place where it starts without a gap after the first.
        let (mut part, mut at) = (0, 0);
        let all = self.walk(text, self.nfa.start_anchored(), 0, |reached, place| {
            if reached > part || (reached == part && place == at + 1) {
                (part, at) = (reached, place);
            }
        });
        let start = *self.starts.get(part)?;
        match all? {
            // A part that matches anything may have come to the end.
            end if end == text.len() => self.walk(text, start, at, |_, _| {}),
            end => Some(end),
        }
    }

    /// Reads a text from a state and a place on. `reached` is told the furthest part that starts at each
    /// place. Returned is the first byte at which nothing fits, or the end; `None` for longer texts.
    fn walk(
        &self,
        text: &[u8],
        start: StateID,
        from: usize,
        mut reached: impl FnMut(usize, usize),
    ) -> Option<usize> {
        let mut here = States::new(self.nfa.states().len());
        let mut next = States::new(self.nfa.states().len());
        here.add(&self.nfa, start, text, from);
        for at in from..=text.len() {
            reached(here.furthest, at);
            let Some(byte) = text.get(at).filter(|_| !here.list.is_empty()) else {
                return Some(at);
            };
            if at - from > TEXT_MAX {
                return None;
            }
            next.clear();
            for state in &here.list {
                if let Some(to) = step(self.nfa.state(*state), *byte) {
                    next.add(&self.nfa, to, text, at + 1);
                }
            }
            std::mem::swap(&mut here, &mut next);
            if here.visited.is_empty() {
                return Some(at);
            }
        }
        Some(text.len())
    }
}

/// Where a byte leads.
fn step(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(sparse) => sparse.matches_byte(byte),
        State::Dense(dense) => dense.matches_byte(byte),
        _ => None,
    }
}

/// The part that starts at a state, from 1.
fn part_that_starts(state: &State) -> Option<usize> {
    match state {
        State::Capture {
            group_index, slot, ..
        } if slot.as_usize().is_multiple_of(2) => Some(group_index.as_usize()),
        _ => None,
    }
}

/// The states that a text can be in.
struct States {
    /// Those that wait for a byte.
    list: Vec<StateID>,
    seen: Vec<bool>,
    /// To be undone.
    visited: Vec<StateID>,
    furthest: usize,
    stack: Vec<StateID>,
}

impl States {
    fn new(count: usize) -> Self {
        Self {
            list: Vec::new(),
            seen: vec![false; count],
            visited: Vec::new(),
            furthest: 0,
            stack: Vec::new(),
        }
    }

    fn clear(&mut self) {
        for state in self.visited.drain(..) {
            self.seen[state.as_usize()] = false;
        }
        self.list.clear();
        self.furthest = 0;
    }

    /// Adds a state and all that follow without a byte.
    fn add(&mut self, nfa: &NFA, state: StateID, text: &[u8], at: usize) {
        self.stack.push(state);
        while let Some(id) = self.stack.pop() {
            if std::mem::replace(&mut self.seen[id.as_usize()], true) {
                continue;
            }
            self.visited.push(id);
            let state = nfa.state(id);
            self.furthest = self.furthest.max(part_that_starts(state).unwrap_or(0));
            match state {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => self.list.push(id),
                State::Look { look, next } => {
                    if nfa.look_matcher().matches(*look, text, at) {
                        self.stack.push(*next);
                    }
                }
                State::Union { alternates } => self.stack.extend(alternates.iter()),
                State::BinaryUnion { alt1, alt2 } => self.stack.extend([*alt1, *alt2]),
                State::Capture { next, .. } => self.stack.push(*next),
                State::Fail | State::Match { .. } => {}
            }
        }
    }
}

/// The parts of a pattern that stand one behind the other, without groups.
fn add_parts(hir: &Hir, parts: &mut Vec<Hir>) {
    match hir.kind() {
        HirKind::Concat(inner) => inner.iter().for_each(|hir| add_parts(hir, parts)),
        HirKind::Capture(group) => add_parts(&group.sub, parts),
        _ => parts.push(without_groups(hir)),
    }
}

fn without_groups(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Capture(group) => without_groups(&group.sub),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(without_groups(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Concat(inner) => Hir::concat(inner.iter().map(without_groups).collect()),
        HirKind::Alternation(inner) => Hir::alternation(inner.iter().map(without_groups).collect()),
        _ => hir.clone(),
    }
}
