//! The machine for expressions whose automaton over bytes would be large: an instruction for a character or a class, as
//! in Go, so that `\pL{1000}` takes a thousand instructions and one class. It follows all ways at once, in their order
//! of preference (Pike's method), so its time is bounded by the instructions times the length of the text.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Mutex;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, Look};

use super::node::{Node, Repeat};

/// Instructions, at most, as in Go (maxSize in regexp/syntax/parse.go).
const INSTRUCTIONS_MAX: usize = (128 << 20) / 40;

/// Start and end of each group, in turn; of the whole match first.
type Slots = Vec<Option<usize>>;

#[derive(Debug, Clone, Copy)]
enum Instruction {
    Char(char),
    /// One character of a class, by number.
    Class(u32),
    Any,
    Look(Look),
    /// Notes the place in a slot.
    Save(u32),
    /// Goes on behind, or else there.
    Else(u32),
    /// Goes on there, or else behind.
    Prefer(u32),
    Jump(u32),
    Match,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Machine {
    program: Vec<Instruction>,
    /// Each ascending.
    classes: Vec<Box<[(char, char)]>>,
    slots: usize,
    /// Whether a match can begin at the beginning of the text only.
    anchored: bool,
    /// Kept from call to call.
    scratch: Mutex<Option<Scratch>>,
}

/// The program would have more than [`INSTRUCTIONS_MAX`] instructions.
#[derive(Debug)]
pub(super) struct TooLarge;

/// What a run needs besides the program.
#[derive(Debug)]
struct Scratch {
    now: Threads,
    next: Threads,
    stack: Vec<Task>,
    /// Slots of the way that is being followed.
    slots: Slots,
}

/// The ways that are alive at a place, best first.
#[derive(Debug)]
struct Threads {
    at: Vec<u32>,
    /// Slots of each.
    slots: Slots,
    /// By instruction: the generation in which it was reached last.
    reached: Vec<u32>,
    /// Grows with each place.
    generation: u32,
}

#[derive(Debug)]
enum Task {
    Follow(u32),
    Restore(u32, Option<usize>),
}

impl Machine {
    /// Compiles a tree with groups up to `groups`, the whole match included; 0 where only whether it matches is asked.
    pub(super) fn new(node: &Node, groups: usize) -> Result<Self, TooLarge> {
        let mut compiler = Compiler { program: Vec::new(), classes: Classes::default(), slots: 2 * groups };
        if groups > 0 {
            compiler.push(Instruction::Save(0))?;
        }
        compiler.add(node)?;
        if groups > 0 {
            compiler.push(Instruction::Save(1))?;
        }
        compiler.push(Instruction::Match)?;
        let Compiler { program, classes, slots } = compiler;
        let first = program.iter().find(|instruction| !matches!(instruction, Instruction::Save(_)));
        let anchored = matches!(first, Some(Instruction::Look(Look::Start)));
        Ok(Self { program, classes: classes.all, slots, anchored, scratch: Mutex::new(None) })
    }

    /// Bytes it holds, about: the program and what runs of it need.
    pub(super) fn size_bytes(&self) -> usize {
        let class_bytes: usize = self.classes.iter().map(|class| size_of_val(&**class)).sum();
        class_bytes + self.program.len() * (size_of::<Instruction>() + 2 * size_of::<u32>())
    }

    /// Whether there is a match.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.run(text, None)
    }

    /// Where each group of the leftmost match took part.
    pub(super) fn captures(&self, text: &str) -> Option<Vec<Option<Range<usize>>>> {
        let mut found = vec![None; self.slots];
        let range = |ends: &[Option<usize>; 2]| ends[0].zip(ends[1]).map(|(start, end)| start..end);
        self.run(text, Some(&mut found)).then(|| found.as_chunks::<2>().0.iter().map(range).collect())
    }

    fn run(&self, text: &str, found: Option<&mut Slots>) -> bool {
        let kept = self.scratch.try_lock().ok().and_then(|mut kept| kept.take());
        let mut scratch = match kept {
            // A text has at most 2^31 places or so.
            Some(scratch) if scratch.now.generation.max(scratch.next.generation) < u32::MAX / 2 => scratch,
            _ => Scratch::new(self.program.len()),
        };
        let run = Run { machine: self, text, slots: if found.is_some() { self.slots } else { 0 } };
        let matched = run.follow(&mut scratch, found);
        if let Ok(mut kept) = self.scratch.try_lock() {
            *kept = Some(scratch);
        }
        matched
    }
}

impl Scratch {
    fn new(program: usize) -> Self {
        let threads = || Threads { at: Vec::new(), slots: Vec::new(), reached: vec![0; program], generation: 0 };
        Self { now: threads(), next: threads(), stack: Vec::new(), slots: Vec::new() }
    }
}

/// One run over a text.
struct Run<'a> {
    machine: &'a Machine,
    text: &'a str,
    /// Slots to keep for each way.
    slots: usize,
}

impl Run<'_> {
    fn follow(&self, scratch: &mut Scratch, mut found: Option<&mut Slots>) -> bool {
        let mut matched = false;
        let mut place = 0;
        scratch.next.clear();
        loop {
            std::mem::swap(&mut scratch.now, &mut scratch.next);
            scratch.next.clear();
            if !matched && (place == 0 || !self.machine.anchored) {
                scratch.slots.clear();
                scratch.slots.resize(self.slots, None);
                self.enter(0, place, &mut scratch.now, &mut scratch.slots, &mut scratch.stack);
            }
            if scratch.now.at.is_empty() && (matched || self.machine.anchored) {
                return matched;
            }
            let c = self.text[place..].chars().next();
            let behind = place + c.map_or(0, char::len_utf8);
            for (thread, at) in scratch.now.at.iter().enumerate() {
                let slots = &scratch.now.slots[thread * self.slots..][..self.slots];
                let fits = match (self.machine.program[*at as usize], c) {
                    (Instruction::Match, _) => {
                        let Some(found) = &mut found else { return true };
                        found.clear();
                        found.extend_from_slice(slots);
                        matched = true;
                        // All that follow are worse.
                        break;
                    }
                    (Instruction::Char(wanted), Some(c)) => wanted == c,
                    (Instruction::Class(class), Some(c)) => contains(&self.machine.classes[class as usize], c),
                    (Instruction::Any, Some(_)) => true,
                    _ => false,
                };
                if fits {
                    scratch.slots.clear();
                    scratch.slots.extend_from_slice(slots);
                    self.enter(at + 1, behind, &mut scratch.next, &mut scratch.slots, &mut scratch.stack);
                }
            }
            if c.is_none() {
                return matched;
            }
            place = behind;
        }
    }

    /// Adds `at`, or where one gets from it without a character, to the ways alive at `place`.
    fn enter(&self, at: u32, place: usize, threads: &mut Threads, slots: &mut Slots, stack: &mut Vec<Task>) {
        stack.push(Task::Follow(at));
        while let Some(task) = stack.pop() {
            let mut at = match task {
                Task::Follow(at) => at,
                Task::Restore(slot, value) => {
                    slots[slot as usize] = value;
                    continue;
                }
            };
            while std::mem::replace(&mut threads.reached[at as usize], threads.generation) != threads.generation {
                match self.machine.program[at as usize] {
                    Instruction::Jump(there) => at = there,
                    Instruction::Else(there) => {
                        stack.push(Task::Follow(there));
                        at += 1;
                    }
                    Instruction::Prefer(there) => {
                        stack.push(Task::Follow(at + 1));
                        at = there;
                    }
                    Instruction::Save(slot) => {
                        if let Some(value) = slots.get_mut(slot as usize) {
                            stack.push(Task::Restore(slot, value.replace(place)));
                        }
                        at += 1;
                    }
                    Instruction::Look(look) => {
                        if !holds(look, self.text.as_bytes(), place) {
                            break;
                        }
                        at += 1;
                    }
                    Instruction::Char(_) | Instruction::Class(_) | Instruction::Any | Instruction::Match => {
                        threads.at.push(at);
                        threads.slots.extend_from_slice(slots);
                        break;
                    }
                }
            }
        }
    }
}

impl Threads {
    fn clear(&mut self) {
        self.at.clear();
        self.slots.clear();
        self.generation += 1;
    }
}

fn contains(class: &[(char, char)], c: char) -> bool {
    let behind = class.partition_point(|(start, _)| *start <= c);
    behind > 0 && c <= class[behind - 1].1
}

/// Whether an assertion holds at a place. The parser makes no others than these.
fn holds(look: Look, text: &[u8], place: usize) -> bool {
    let before = place.checked_sub(1).and_then(|at| text.get(at));
    let behind = text.get(place);
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| *byte == b'_' || byte.is_ascii_alphanumeric());
    match look {
        Look::Start => before.is_none(),
        Look::End => behind.is_none(),
        Look::StartLF => before.is_none_or(|byte| *byte == b'\n'),
        Look::EndLF => behind.is_none_or(|byte| *byte == b'\n'),
        Look::WordAscii => is_word(before) != is_word(behind),
        Look::WordAsciiNegate => is_word(before) == is_word(behind),
        _ => false,
    }
}

struct Compiler<'n> {
    program: Vec<Instruction>,
    classes: Classes<'n>,
    slots: usize,
}

/// Classes by number, each once.
#[derive(Default)]
struct Classes<'n> {
    all: Vec<Box<[(char, char)]>>,
    numbers: BTreeMap<&'n [ClassUnicodeRange], u32>,
    /// By the place of a class in the tree, since repetitions come to it again and again.
    places: HashMap<*const ClassUnicode, u32>,
}

impl<'n> Classes<'n> {
    fn number(&mut self, class: &'n ClassUnicode) -> u32 {
        if let Some(number) = self.places.get(&std::ptr::from_ref(class)) {
            return *number;
        }
        let number = *self.numbers.entry(class.ranges()).or_insert_with(|| {
            self.all.push(class.ranges().iter().map(|range| (range.start(), range.end())).collect());
            self.all.len() as u32 - 1
        });
        self.places.insert(class, number);
        number
    }
}

impl<'n> Compiler<'n> {
    fn push(&mut self, instruction: Instruction) -> Result<usize, TooLarge> {
        if self.program.len() == INSTRUCTIONS_MAX {
            return Err(TooLarge);
        }
        self.program.push(instruction);
        Ok(self.program.len() - 1)
    }

    /// Where the next instruction will be.
    fn here(&self) -> u32 {
        self.program.len() as u32
    }

    /// A way out, best or worst, to a place that [`land`](Self::land) will tell.
    fn fork(&mut self, greedy: bool) -> Result<usize, TooLarge> {
        self.push(if greedy { Instruction::Else(0) } else { Instruction::Prefer(0) })
    }

    /// Has the fork or jump at `from` lead to the next instruction.
    fn land(&mut self, from: usize) {
        let here = self.here();
        match &mut self.program[from] {
            Instruction::Else(there) | Instruction::Prefer(there) | Instruction::Jump(there) => *there = here,
            _ => {}
        }
    }

    /// Appends the code of `node`; whether it can match the empty text.
    fn add(&mut self, node: &'n Node) -> Result<bool, TooLarge> {
        match node {
            Node::Empty => return Ok(true),
            Node::Text(text) => {
                for c in text.chars() {
                    self.push(Instruction::Char(c))?;
                }
                return Ok(text.is_empty());
            }
            Node::Class(class) => {
                let class = self.classes.number(class);
                self.push(Instruction::Class(class))?;
            }
            Node::Any => {
                self.push(Instruction::Any)?;
            }
            Node::Look(look) => {
                self.push(Instruction::Look(*look))?;
                return Ok(true);
            }
            Node::Repeat(repeat) => return self.repeat(repeat),
            Node::Capture(index, sub) => {
                let slot = 2 * index;
                let wanted = (slot as usize) < self.slots;
                if wanted {
                    self.push(Instruction::Save(slot))?;
                }
                let empty = self.add(sub)?;
                if wanted {
                    self.push(Instruction::Save(slot + 1))?;
                }
                return Ok(empty);
            }
            Node::Concat(subs) => {
                let mut empty = true;
                for sub in subs {
                    empty &= self.add(sub)?;
                }
                return Ok(empty);
            }
            Node::Alternate(subs) => return self.alternate(subs),
        }
        Ok(false)
    }

    fn alternate(&mut self, subs: &'n [Node]) -> Result<bool, TooLarge> {
        let Some((last, others)) = subs.split_last() else { return Ok(true) };
        let mut ends = Vec::with_capacity(others.len());
        let mut empty = false;
        for sub in others {
            let fork = self.fork(true)?;
            empty |= self.add(sub)?;
            ends.push(self.push(Instruction::Jump(0))?);
            self.land(fork);
        }
        empty |= self.add(last)?;
        ends.into_iter().for_each(|end| self.land(end));
        Ok(empty)
    }

    /// As Go's simplify.go and compile.go write it out: `x{2,5}` is `xx(x(x(x)?)?)?`, `x{2,}` is `xx+`, and `x*` is
    /// `(x+)?` where x can be empty.
    fn repeat(&mut self, repeat: &'n Repeat) -> Result<bool, TooLarge> {
        let Repeat { min, max, greedy, sub, .. } = repeat;
        let mut empty = true;
        for _ in 0..min.saturating_sub(u32::from(max.is_none())) {
            empty = self.add(sub)?;
        }
        match max {
            Some(max) => {
                let mut forks = Vec::new();
                for _ in *min..*max {
                    forks.push(self.fork(*greedy)?);
                    self.add(sub)?;
                }
                forks.into_iter().for_each(|fork| self.land(fork));
                Ok(empty || *min == 0)
            }
            None if *min == 0 => {
                let fork = self.fork(*greedy)?;
                let start = self.here();
                if self.add(sub)? {
                    self.again(start, *greedy)?;
                } else {
                    self.push(Instruction::Jump(fork as u32))?;
                }
                self.land(fork);
                Ok(true)
            }
            None => {
                let start = self.here();
                empty = self.add(sub)?;
                self.again(start, *greedy)?;
                Ok(empty)
            }
        }
    }

    /// Back to `start`, which is better than to go on if `greedy`.
    fn again(&mut self, start: u32, greedy: bool) -> Result<usize, TooLarge> {
        self.push(if greedy { Instruction::Prefer(start) } else { Instruction::Else(start) })
    }
}
