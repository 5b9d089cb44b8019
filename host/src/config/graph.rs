//! The edges of a pipeline: every input names an output that exists, nothing runs in a circle,
//! nothing is read for nobody.

use std::collections::{BTreeSet, HashMap};

use super::context::{Context, Text};
use super::nearest::did_you_mean;
use super::operator::Operator;
use super::pipeline::{Input, OperatorKind};
use super::sink::Sink;
use super::source::Source;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Source,
    Plugin,
    Inference,
    Sink,
}

/// The parts of a pipeline before they are joined.
pub(super) struct Parts {
    pub(super) sources: Vec<Source>,
    pub(super) operators: Vec<Operator>,
    pub(super) sinks: Vec<(Sink, Vec<Input>)>,
    pub(super) dead_letters: Option<Text>,
}

/// Resolves the inputs, reports what does not fit, and puts the operators in topological order.
pub(super) fn join(cx: &Context<'_>, parts: &mut Parts) {
    let roles = roles(parts);
    let mut consumed = BTreeSet::new();
    // Once an input cannot be told, nothing can be said about what is not read.
    let mut complete = true;
    for operator in &mut parts.operators {
        operator.node.inputs = resolve(cx, &roles, &operator.inputs, &mut consumed);
        complete &= !operator.inputs.is_empty() && operator.inputs.len() == operator.node.inputs.len();
    }
    for (sink, inputs) in &mut parts.sinks {
        *inputs = resolve(cx, &roles, &sink.inputs, &mut consumed);
        complete &= (sink.starved || !sink.inputs.is_empty()) && sink.inputs.len() == inputs.len();
    }
    dead_letters(cx, parts);
    sort(cx, &mut parts.operators);
    if complete {
        unused(cx, parts, &consumed);
    }
    starved(cx, parts);
}

fn roles(parts: &Parts) -> HashMap<String, Role> {
    let mut roles = HashMap::new();
    roles.extend(parts.sinks.iter().map(|(s, _)| (s.config.name.clone(), Role::Sink)));
    roles.extend(parts.operators.iter().map(|o| {
        let role = match o.node.kind {
            OperatorKind::Plugin(_) => Role::Plugin,
            OperatorKind::Inference(_) | OperatorKind::External(_) => Role::Inference,
        };
        (o.node.name().to_owned(), role)
    }));
    roles.extend(parts.sources.iter().map(|s| (s.config.name.clone(), Role::Source)));
    roles
}

fn resolve(
    cx: &Context<'_>,
    roles: &HashMap<String, Role>,
    inputs: &[Text],
    consumed: &mut BTreeSet<String>,
) -> Vec<Input> {
    let mut resolved = Vec::new();
    for text in inputs {
        let (node, port) = match text.value.split_once('.') {
            Some((node, port)) => (node, Some(port)),
            None => (text.value.as_str(), None),
        };
        // For messages: the value may come from a variable.
        let shown = text.shown.split_once('.').map_or(text.shown.as_str(), |(node, _)| node);
        let diagnostic = match (roles.get(node), port) {
            (None, _) => {
                let mut known: Vec<&str> =
                    roles.iter().filter(|(_, r)| **r != Role::Sink).map(|(n, _)| n.as_str()).collect();
                known.sort_unstable();
                cx.error(&text.at, format!("unknown input `{shown}`"))
                    .expected("expected the name of a source or an operator")
                    .help(did_you_mean(shown, known))
            }
            (Some(Role::Sink), _) => cx
                .error(&text.at, format!("`{shown}` is a sink and cannot be an input"))
                .expected("expected the name of a source or an operator"),
            (Some(role @ (Role::Source | Role::Inference)), Some(_)) => {
                let what = if *role == Role::Source { "a source" } else { "an inference operator" };
                cx.error(&text.at, format!("`{shown}` is {what}, which has no side outputs"))
                    .expected("expected the name alone")
                    .help(format!("write `{shown}`"))
            }
            (Some(_), Some("")) => cx
                .error(&text.at, format!("`{}` names no port", text.shown))
                .expected("expected `operator` or `operator.port`"),
            (Some(_), port) => {
                consumed.insert(node.to_owned());
                resolved.push(Input { node: node.to_owned(), port: port.map(str::to_owned) });
                continue;
            }
        };
        cx.report(diagnostic);
    }
    resolved
}

fn dead_letters(cx: &Context<'_>, parts: &Parts) {
    let Some(text) = &parts.dead_letters else { return };
    match parts.sinks.iter().find(|(sink, _)| sink.config.name == text.value) {
        Some((sink, _)) if !sink.inputs.is_empty() && super::sink::is_csv(&sink.config) => cx.report(
            cx.error(&text.at, format!("sink `{}` takes dead letters and other rows as CSV", text.shown))
                .expected("expected a sink of its own, or one of JSON lines")
                .help("dead letters have columns of their own: add a sink with `inputs = []` for them"),
        ),
        Some(_) => {}
        None => {
            let names = parts.sinks.iter().map(|(s, _)| s.config.name.as_str());
            cx.report(
                cx.error(&text.at, format!("`dead_letters` names no sink: `{}`", text.shown))
                    .expected("expected the name of a sink")
                    .help(did_you_mean(&text.shown, names)),
            );
        }
    }
}

/// Puts the operators in topological order, those of the file first where there is a choice.
fn sort(cx: &Context<'_>, operators: &mut Vec<Operator>) {
    let index: HashMap<String, usize> =
        operators.iter().enumerate().map(|(i, o)| (o.node.name().to_owned(), i)).collect();
    let feeds: Vec<BTreeSet<usize>> = operators
        .iter()
        .map(|o| o.node.inputs.iter().filter_map(|input| index.get(&input.node).copied()).collect())
        .collect();
    let mut fed_by_me = vec![Vec::new(); operators.len()];
    let mut waiting: Vec<usize> = feeds.iter().map(BTreeSet::len).collect();
    for (node, inputs) in feeds.iter().enumerate() {
        for &input in inputs {
            if let Some(list) = fed_by_me.get_mut(input) {
                list.push(node);
            }
        }
    }
    let mut ready: BTreeSet<usize> = (0..operators.len()).filter(|&i| waiting.get(i) == Some(&0)).collect();
    let mut left: BTreeSet<usize> = (0..operators.len()).collect();
    let mut order = Vec::new();
    loop {
        while let Some(node) = ready.pop_first() {
            if !left.remove(&node) {
                continue;
            }
            order.push(node);
            for &next in fed_by_me.get(node).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(next) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.insert(next);
                    }
                }
            }
        }
        let Some(&start) = left.first() else { break };
        // Every operator that is left waits for another that is left: going backwards must loop.
        let cycle = find_cycle(start, &feeds, &left);
        report_cycle(cx, operators, &cycle);
        // Taken as done, so that a second loop is found too.
        ready.extend(cycle);
    }
    let mut slots: Vec<Option<Operator>> = std::mem::take(operators).into_iter().map(Some).collect();
    operators.extend(order.into_iter().filter_map(|i| slots.get_mut(i).and_then(Option::take)));
}

/// A loop among `left`, in the direction of the data.
fn find_cycle(start: usize, feeds: &[BTreeSet<usize>], left: &BTreeSet<usize>) -> Vec<usize> {
    let mut path = vec![start];
    let mut position = HashMap::from([(start, 0)]);
    let mut current = start;
    while let Some(&previous) = feeds.get(current).into_iter().flatten().find(|i| left.contains(i)) {
        if let Some(&from) = position.get(&previous) {
            let mut cycle = path.split_off(from);
            cycle.reverse();
            return cycle;
        }
        position.insert(previous, path.len());
        path.push(previous);
        current = previous;
    }
    path
}

fn report_cycle(cx: &Context<'_>, operators: &[Operator], cycle: &[usize]) {
    // Begins at the operator that comes first in the file, as a reader would.
    let first = cycle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(i, _)| i);
    let (tail, head) = cycle.split_at_checked(first).unwrap_or((cycle, &[]));
    let members: Vec<&Operator> = head.iter().chain(tail).filter_map(|&i| operators.get(i)).collect();
    let (Some(begin), Some(end)) = (members.first(), members.last()) else { return };
    let names: Vec<&str> = members.iter().chain([begin]).map(|o| o.node.name()).collect();
    let closing = begin.inputs.iter().find(|t| t.value.split('.').next() == Some(end.node.name()));
    if let Some(closing) = closing.or(begin.inputs.first()) {
        cx.report(
            cx.error(&closing.at, format!("operators feed each other in a circle: {}", names.join(" → ")))
                .expected(format!("this input closes the circle at `{}`", begin.node.name()))
                .help("take one of these inputs out; records flow one way"),
        );
    }
}

fn unused(cx: &Context<'_>, parts: &Parts, consumed: &BTreeSet<String>) {
    for source in parts.sources.iter().filter(|s| !consumed.contains(&s.config.name)) {
        cx.report(
            cx.error_at(&source.key, format!("nothing reads source `{}`", source.config.name))
                .expected("needs an operator or a sink that reads it")
                .help(format!("add \"{}\" to the `inputs` of one, or remove the source", source.config.name)),
        );
    }
    for operator in parts.operators.iter().filter(|o| !consumed.contains(o.node.name())) {
        let name = operator.node.name();
        cx.report(
            cx.error_at(&operator.table, format!("nothing reads operator `{name}`"))
                .expected("its rows are dropped")
                .help(format!("add \"{name}\" to the `inputs` of a sink, or remove the operator"))
                .into_warning(),
        );
    }
}

fn starved(cx: &Context<'_>, parts: &Parts) {
    let dead_letters = parts.dead_letters.as_ref().map(|t| t.value.as_str());
    // An unknown name was most likely meant to be one of these.
    if dead_letters.is_some_and(|name| !parts.sinks.iter().any(|(sink, _)| sink.config.name == name)) {
        return;
    }
    for (sink, _) in &parts.sinks {
        let name = sink.config.name.as_str();
        if sink.starved && dead_letters != Some(name) {
            cx.report(
                cx.error_at(&sink.table, format!("sink `{name}` has no inputs"))
                    .expected("needs a source or an operator that feeds it")
                    .help(format!("add `inputs = [\"…\"]`, or name it in `pipeline.dead_letters = \"{name}\"`")),
            );
        }
    }
}
