//! Path templates as a tree: from a path to the rules that are for it, segment by segment.

use std::collections::HashMap;

use super::bits::Bits;
use crate::config::{PathTemplate, Segment};

/// The templates of a listener's routes.
#[derive(Debug)]
pub(super) struct Paths {
    /// The first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    any: Option<usize>,
    /// Rules for the path that ends here.
    here: Bits,
    /// Rules for this path and all below, whatever they are.
    rest: Bits,
    /// Rules that know by themselves what may be below.
    base: Bits,
}

impl Default for Paths {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Paths {
    /// `rule` is for the paths that `template` matches or, if that is a base, for some of those below.
    pub(super) fn insert(&mut self, rule: u32, template: &PathTemplate, is_base: bool) {
        let mut at = 0;
        let mut is_rest = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => at = self.literal(at, text),
                Segment::Any => at = self.any(at),
                Segment::Rest => is_rest = true,
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let rules = match (is_base, is_rest) {
                (true, _) => &mut node.base,
                (false, true) => &mut node.rest,
                (false, false) => &mut node.here,
            };
            rules.insert(rule);
        }
    }

    fn literal(&mut self, at: usize, text: &str) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let child = *node.literals.entry(text.into()).or_insert(next);
        self.grow(child)
    }

    fn any(&mut self, at: usize) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let child = *node.any.get_or_insert(next);
        self.grow(child)
    }

    fn grow(&mut self, child: usize) -> usize {
        if child == self.nodes.len() {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Tells `reached` of all rules that are for `path`; of bases with what is below them.
    pub(super) fn walk<'p, 'a>(
        &'p self,
        path: &'a str,
        reached: &mut impl FnMut(&'p Bits, Option<&'a str>),
    ) {
        self.visit(0, below_root(path), reached);
    }

    /// As deep as the longest template, and no node twice.
    fn visit<'p, 'a>(
        &'p self,
        at: usize,
        left: &'a str,
        reached: &mut impl FnMut(&'p Bits, Option<&'a str>),
    ) {
        let Some(node) = self.nodes.get(at) else { return };
        if !node.rest.is_empty() {
            reached(&node.rest, None);
        }
        if !node.base.is_empty() {
            reached(&node.base, Some(left));
        }
        if left.is_empty() {
            if !node.here.is_empty() {
                reached(&node.here, None);
            }
            return;
        }
        let (segment, left) = next(left);
        if let Some(child) = node.literals.get(segment) {
            self.visit(*child, left, reached);
        }
        if let Some(child) = node.any.filter(|_| !segment.is_empty()) {
            self.visit(child, left, reached);
        }
    }
}

/// `path` without its first slash.
///
/// One slash at the end changes nothing, for nothing is left behind it: to most workloads both are the same
/// page, and a rule that one spelling escapes is none.
pub(super) fn below_root(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// The first segment, and what is left behind its slash.
pub(super) fn next(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}
